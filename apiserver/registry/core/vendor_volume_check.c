/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes of storage systems that have a type of their own in the API. */
#include "apiserver/registry/core/volume_check.h"

static void check_azure_disk(errs_t errs, path_t p, const CoreV1__AzureDiskVolumeSource *d)
{
	bool managed = d->kind && !strcmp(d->kind, "Managed");

	if (d->caching_mode)
		check_enum(errs, FIELD(p, "cachingMode"), d->caching_mode,
		           LIST("None", "ReadOnly", "ReadWrite"));
	if (d->kind)
		check_enum(errs, FIELD(p, "kind"), d->kind, LIST("Dedicated", "Managed", "Shared"));
	if (d->kind && !managed && !has_prefix(d->disk_uri, "https://"))
		field_not_supported(errs, FIELD(p, "diskURI"), d->disk_uri,
		                    LIST("https://{account-name}.blob.core.windows.net/"
		                         "{container-name}/{disk-name}.vhd"));
	if (managed && !has_prefix(d->disk_uri, "/subscriptions/"))
		field_not_supported(
		    errs, FIELD(p, "diskURI"), d->disk_uri,
		    LIST("/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/"
		         "microsoft.compute/disks/{disk-id}"));
}

static bool all_alnum(const char *s, size_t n)
{
	size_t i = 0;

	for (; s[i]; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'z') ||
		      (s[i] >= 'A' && s[i] <= 'Z')))
			return false;
	return i == n;
}

/* iqn.YYYY-MM.domain:identifier (RFC 3720, section 3.2.6.3.1). */
static bool is_iqn(const char *s)
{
	static const char form[] = "iqn.0000-00.";
	size_t n = strlen(form);

	for (size_t i = 0; i < n; i++)
		if (form[i] == '0' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return false;
	const char *colon = strchr(s, ':');
	return colon && colon > s + n && colon[1] && !colon[1 + strcspn(colon + 1, ",;*&$| \t\n")];
}

static bool is_iscsi_name(const char *s)
{
	if (has_prefix(s, "iqn"))
		return is_iqn(s);
	if (has_prefix(s, "eui."))
		return all_alnum(s + 4, 16);
	return has_prefix(s, "naa.") && all_alnum(s + 4, 32);
}

/* What pods and persistent volumes say alike. */
struct iscsi {
	const char *portal, *iqn, *initiator;
	int32_t lun;
	bool chap, has_secret;
};

static void check_iscsi(errs_t errs, path_t p, const struct iscsi *i)
{
	path_t name = FIELD(p, "initiatorname");

	if (*i->iqn && !is_iscsi_name(i->iqn))
		field_invalid(errs, FIELD(p, "iqn"), i->iqn, "must be valid format");
	if (i->lun < 0 || i->lun > 255)
		field_invalid_int(errs, FIELD(p, "lun"), i->lun,
		                  "must be between 0 and 255, inclusive");
	if (i->chap && !i->has_secret)
		field_required(errs, FIELD(p, "secretRef"), "");
	if (!i->initiator || is_iscsi_name(i->initiator))
		return;
	bool known = has_prefix(i->initiator, "iqn") || has_prefix(i->initiator, "eui") ||
	             has_prefix(i->initiator, "naa");
	field_invalid(errs, name, i->initiator,
	              known ? "must be valid format"
	                    : "must be valid format starting with iqn, eui, or naa");
}

static void check_fc(errs_t errs, path_t p, const CoreV1__FCVolumeSource *f)
{
	if (!f->n_target_wwns && !f->n_wwids)
		field_required(errs, FIELD(p, "targetWWNs"),
		               "must specify either targetWWNs or wwids, but not both");
	else if (f->n_target_wwns && f->n_wwids)
		field_invalid_json(errs, FIELD(p, "targetWWNs"),
		                   json_of_strings(errs, f->target_wwns, f->n_target_wwns),
		                   "targetWWNs and wwids can not be specified simultaneously");
	if (f->n_target_wwns && !f->has_lun)
		field_required(errs, FIELD(p, "lun"), "lun is required if targetWWNs is specified");
	else if (f->n_target_wwns && (f->lun < 0 || f->lun > 255))
		field_invalid_int(errs, FIELD(p, "lun"), f->lun,
		                  "must be between 0 and 255, inclusive");
}

static void check_partition(errs_t errs, path_t p, int32_t n)
{
	if (n < 0 || n > 255)
		field_invalid_int(errs, FIELD(p, "partition"), n,
		                  "must be between 1 and 255, inclusive");
}

/* A secret named with its namespace. */
static void check_secret(errs_t errs, path_t p, const CoreV1__SecretReference *r)
{
	if (!r)
		return;
	check_required(errs, FIELD(p, "name"), r->name);
	check_required(errs, FIELD(p, "namespace"), r->namespace_);
}

/* HOST:PORT, HOST:PORT, ... */
static bool is_registry(const char *s)
{
	for (const char *next; s; s = next) {
		size_t n = strcspn(s, ",");
		const char *colon = memchr(s, ':', n);
		next = s[n] ? s + n + 1 : NULL;
		if (!colon || (*s != '[' && memchr(colon + 1, ':', n - (size_t)(colon + 1 - s))))
			return false;
	}
	return true;
}

static void check_quobyte(errs_t errs, path_t p, const CoreV1__QuobyteVolumeSource *v)
{
	static const char text[] = "must be a host:port pair or multiple pairs separated by commas";

	if (!*v->registry)
		field_required(errs, FIELD(p, "registry"), text);
	else if (strlen(v->tenant) >= 65)
		field_required(errs, FIELD(p, "tenant"),
		               "must be a UUID and may not exceed a length of 64 characters");
	else if (!is_registry(v->registry))
		field_invalid(errs, FIELD(p, "registry"), v->registry, text);
}

/* Options of drivers must not look like Kubernetes' own. */
static void check_flex_options(errs_t errs, path_t p, struct string_entry *const *map, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *domain =
		    arena_printf(errs->arena, ".%.*s", (int)strcspn(map[i]->key, "/"), map[i]->key);
		for (char *c = domain; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
		if (has_suffix(domain, ".kubernetes.io") || has_suffix(domain, ".k8s.io"))
			field_invalid(errs, FIELD_KEY(FIELD(p, "options"), map[i]->key),
			              map[i]->key,
			              "kubernetes.io and k8s.io namespaces are reserved");
	}
}

static void check_glusterfs(errs_t errs, path_t p, const CoreV1__GlusterfsPersistentVolumeSource *v)
{
	path_t at = FIELD(p, "endpointsNamespace");

	if (v->endpoints_namespace && !*v->endpoints_namespace)
		field_invalid(errs, at, "",
		              "if the endpointnamespace is set, it must be a valid namespace name");
	else if (v->endpoints_namespace)
		check_name(errs, at, v->endpoints_namespace, names_dns1123_label);
}

static void check_storageos(errs_t errs, path_t p, const char *name, const char *ns)
{
	check_required_name(errs, FIELD(p, "volumeName"), name, names_dns1123_label);
	if (*ns)
		check_name(errs, FIELD(p, "volumeNamespace"), ns, names_dns1123_label);
}

void vendor_volume_check(errs_t errs, path_t p, const ProtobufCMessage *msg)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;

	if (d == &core_v1__azure_disk_volume_source__descriptor) {
		check_azure_disk(errs, p, (const CoreV1__AzureDiskVolumeSource *)msg);
	} else if (d == &core_v1__iscsivolume_source__descriptor) {
		const CoreV1__ISCSIVolumeSource *v = (const CoreV1__ISCSIVolumeSource *)msg;
		check_iscsi(errs, p,
		            &(struct iscsi){v->target_portal, v->iqn, v->initiator_name, v->lun,
		                            v->chap_auth_discovery || v->chap_auth_session,
		                            v->secret_ref});
	} else if (d == &core_v1__iscsipersistent_volume_source__descriptor) {
		const CoreV1__ISCSIPersistentVolumeSource *v =
		    (const CoreV1__ISCSIPersistentVolumeSource *)msg;
		check_iscsi(errs, p,
		            &(struct iscsi){v->target_portal, v->iqn, v->initiator_name, v->lun,
		                            v->chap_auth_discovery || v->chap_auth_session,
		                            v->secret_ref});
		if (v->secret_ref)
			check_required(errs, FIELD(p, "secretRef.name"), v->secret_ref->name);
	} else if (d == &core_v1__fcvolume_source__descriptor) {
		check_fc(errs, p, (const CoreV1__FCVolumeSource *)msg);
	} else if (d == &core_v1__gcepersistent_disk_volume_source__descriptor) {
		check_partition(errs, p,
		                ((const CoreV1__GCEPersistentDiskVolumeSource *)msg)->partition);
	} else if (d == &core_v1__awselastic_block_store_volume_source__descriptor) {
		check_partition(errs, p,
		                ((const CoreV1__AWSElasticBlockStoreVolumeSource *)msg)->partition);
	} else if (d == &core_v1__quobyte_volume_source__descriptor) {
		check_quobyte(errs, p, (const CoreV1__QuobyteVolumeSource *)msg);
	} else if (d == &core_v1__flex_volume_source__descriptor) {
		const CoreV1__FlexVolumeSource *v = (const CoreV1__FlexVolumeSource *)msg;
		check_flex_options(errs, p, STRINGS(v->options), v->n_options);
	} else if (d == &core_v1__flex_persistent_volume_source__descriptor) {
		const CoreV1__FlexPersistentVolumeSource *v =
		    (const CoreV1__FlexPersistentVolumeSource *)msg;
		check_flex_options(errs, p, STRINGS(v->options), v->n_options);
	} else if (d == &core_v1__glusterfs_persistent_volume_source__descriptor) {
		check_glusterfs(errs, p, (const CoreV1__GlusterfsPersistentVolumeSource *)msg);
	} else if (d == &core_v1__cinder_volume_source__descriptor) {
		const CoreV1__CinderVolumeSource *v = (const CoreV1__CinderVolumeSource *)msg;
		if (v->secret_ref)
			check_required(errs, FIELD(p, "secretRef.name"), v->secret_ref->name);
	} else if (d == &core_v1__cinder_persistent_volume_source__descriptor) {
		check_secret(errs, FIELD(p, "secretRef"),
		             ((const CoreV1__CinderPersistentVolumeSource *)msg)->secret_ref);
	} else if (d == &core_v1__azure_file_persistent_volume_source__descriptor) {
		const CoreV1__AzureFilePersistentVolumeSource *v =
		    (const CoreV1__AzureFilePersistentVolumeSource *)msg;
		if (v->secret_namespace)
			check_required(errs, FIELD(p, "secretNamespace"), v->secret_namespace);
	} else if (d == &core_v1__storage_osvolume_source__descriptor) {
		const CoreV1__StorageOSVolumeSource *v = (const CoreV1__StorageOSVolumeSource *)msg;
		check_storageos(errs, p, v->volume_name, v->volume_namespace);
	} else if (d == &core_v1__storage_ospersistent_volume_source__descriptor) {
		const CoreV1__StorageOSPersistentVolumeSource *v =
		    (const CoreV1__StorageOSPersistentVolumeSource *)msg;
		check_storageos(errs, p, v->volume_name, v->volume_namespace);
	} else if (d == &core_v1__flocker_volume_source__descriptor) {
		const CoreV1__FlockerVolumeSource *v = (const CoreV1__FlockerVolumeSource *)msg;
		if (!*v->dataset_name && !*v->dataset_uuid)
			field_required(errs, p, "one of datasetName and datasetUUID is required");
		if (*v->dataset_name && *v->dataset_uuid)
			field_invalid(errs, p, "resource",
			              "datasetName and datasetUUID can not be specified "
			              "simultaneously");
		if (strchr(v->dataset_name, '/'))
			field_invalid(errs, FIELD(p, "datasetName"), v->dataset_name,
			              "must not contain '/'");
	}
}
