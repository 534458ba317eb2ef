/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/core/volume_check.h"
#include "proto/schema.h"

/* Members that a source cannot do without, by their JSON names. */
static const struct {
	const char *source;
	const char *members[4];
} required[] = {
    {"gcePersistentDisk", {"pdName"}},
    {"awsElasticBlockStore", {"volumeID"}},
    {"gitRepo", {"repository"}},
    {"iscsi", {"targetPortal", "iqn"}},
    {"glusterfs", {"endpoints", "path"}},
    {"rbd", {"monitors", "image"}},
    {"cinder", {"volumeID"}},
    {"cephfs", {"monitors"}},
    {"quobyte", {"registry", "volume"}},
    {"flexVolume", {"driver"}},
    {"nfs", {"server", "path"}},
    {"hostPath", {"path"}},
    {"azureFile", {"secretName", "shareName"}},
    {"azureDisk", {"diskName", "diskURI"}},
    {"vsphereVolume", {"volumePath"}},
    {"portworxVolume", {"volumeID"}},
    {"photonPersistentDisk", {"pdID"}},
    {"scaleIO", {"gateway", "system", "volumeName"}},
    {"secret", {"secretName"}},
    {"persistentVolumeClaim", {"claimName"}},
    {"local", {"path"}},
    {"csi", {"driver", "volumeHandle"}},
};

static bool is_empty(const struct schema_field *f, const char *msg)
{
	const char *s;

	if (f->flags & SCHEMA_REPEATED)
		return !*(const size_t *)(msg + f->quantifier_offset);
	s = *(const char *const *)(msg + f->offset);
	return !s || !*s;
}

static void check_required_members(errs_t errs, path_t p, const char *source,
                                   const ProtobufCMessage *msg)
{
	const struct schema_message *schema = schema_of(msg->descriptor);

	for (size_t i = 0; i < ARRAY_LEN(required); i++) {
		if (strcmp(required[i].source, source))
			continue;
		for (size_t j = 0; j < 4 && required[i].members[j]; j++) {
			const char *name = required[i].members[j];
			const struct schema_json *m = schema_json_find(schema, name, strlen(name));
			if (m && !m->via && is_empty(m->field, (const char *)msg))
				field_required(errs, FIELD(p, name), "");
		}
	}
}

static void check_mode(errs_t errs, path_t p, bool has, int32_t mode)
{
	if (has && (mode < 0 || mode > 0777))
		field_invalid_int(errs, p, mode,
		                  "must be a number between 0 and 0777 (octal), both inclusive");
}

/* Paths of files in a volume: relative, without "..". */
static void check_file_path(errs_t errs, path_t p, const char *path)
{
	if (!*path) {
		field_required(errs, p, "");
		return;
	}
	local_path_check(errs, p, path);
	if (has_prefix(path, "..") && !has_prefix(path, "../") && strcmp(path, ".."))
		field_invalid(errs, p, path, "must not start with '..'");
}

static void check_items(errs_t errs, path_t p, CoreV1__KeyToPath *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		path_t at = FIELD_INDEX(p, i);
		check_required(errs, FIELD(at, "key"), items[i]->key);
		check_file_path(errs, FIELD(at, "path"), items[i]->path);
		check_mode(errs, FIELD(at, "mode"), items[i]->has_mode, items[i]->mode);
	}
}

static void check_downward(errs_t errs, path_t p, CoreV1__DownwardAPIVolumeFile *const *items,
                           size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const CoreV1__DownwardAPIVolumeFile *f = items[i];
		check_file_path(errs, FIELD(p, "path"), f->path);
		if (f->field_ref && f->resource_field_ref)
			field_invalid(errs, p, "resource",
			              "fieldRef and resourceFieldRef can not be specified "
			              "simultaneously");
		if (f->field_ref)
			field_selector_check(errs, FIELD(p, "fieldRef"), f->field_ref, true);
		else if (f->resource_field_ref)
			resource_field_check(errs, FIELD(p, "resourceFieldRef"),
			                     f->resource_field_ref, true);
		else
			field_required(errs, p, "one of fieldRef and resourceFieldRef is required");
		check_mode(errs, FIELD(p, "mode"), f->has_mode, f->mode);
	}
}

static void check_token(errs_t errs, path_t p, const CoreV1__ServiceAccountTokenProjection *t)
{
	int64_t s = t->expiration_seconds;

	if (t->has_expiration_seconds && s < 600)
		field_invalid_int(errs, FIELD(p, "expirationSeconds"), s,
		                  "may not specify a duration less than 10 minutes");
	if (t->has_expiration_seconds && s > (int64_t)1 << 32)
		field_invalid_int(errs, FIELD(p, "expirationSeconds"), s,
		                  "may not specify a duration larger than 2^32 seconds");
	if (check_required(errs, FIELD(p, "path"), t->path))
		local_path_check(errs, FIELD(p, "path"), t->path);
}

static void check_trust_bundle(errs_t errs, path_t p, const CoreV1__ClusterTrustBundleProjection *b)
{
	if (!b->name == !b->signer_name)
		field_required(errs, p, "either name or signerName must be specified");
	if (b->label_selector && !b->signer_name)
		field_invalid_json(errs, FIELD(p, "labelSelector"),
		                   json_of(errs, b->label_selector),
		                   "labelSelector must be unset if signerName is not specified");
	if (check_required(errs, FIELD(p, "path"), b->path))
		local_path_check(errs, FIELD(p, "path"), b->path);
}

static void check_projection(errs_t errs, path_t p, const CoreV1__VolumeProjection *v)
{
	static const char more[] = "may not specify more than 1 volume type";
	int n = 0;

	if (v->secret && n++ == 0) {
		check_required(errs, FIELD(p, "secret.name"),
		               v->secret->local_object_reference->name);
		check_items(errs, FIELD(p, "secret.items"), v->secret->items, v->secret->n_items);
	}
	if (v->config_map) {
		if (n++)
			field_forbidden(errs, FIELD(p, "configMap"), more);
		check_required(errs, FIELD(p, "configMap.name"),
		               v->config_map->local_object_reference->name);
		check_items(errs, FIELD(p, "configMap.items"), v->config_map->items,
		            v->config_map->n_items);
	}
	if (v->downward_api) {
		if (n++)
			field_forbidden(errs, FIELD(p, "downwardAPI"), more);
		check_downward(errs, FIELD(p, "downwardAPI"), v->downward_api->items,
		               v->downward_api->n_items);
	}
	if (v->service_account_token) {
		if (n++)
			field_forbidden(errs, FIELD(p, "serviceAccountToken"), more);
		check_token(errs, FIELD(p, "serviceAccountToken"), v->service_account_token);
	}
	if (v->cluster_trust_bundle) {
		if (n++)
			field_forbidden(errs, FIELD(p, "clusterTrustBundle"), more);
		check_trust_bundle(errs, FIELD(p, "clusterTrustBundle"), v->cluster_trust_bundle);
	}
	if (v->pod_certificate) {
		if (n++)
			field_forbidden(errs, FIELD(p, "podCertificate"), more);
		check_required(errs, FIELD(p, "podCertificate.signerName"),
		               v->pod_certificate->signer_name);
	}
	if (!n)
		field_required(errs, p, "no volume source is specified");
}

static void check_projected(errs_t errs, path_t p, const CoreV1__ProjectedVolumeSource *v)
{
	check_mode(errs, FIELD(p, "defaultMode"), v->has_default_mode, v->default_mode);
	for (size_t i = 0; i < v->n_sources; i++)
		check_projection(errs, FIELD_INDEX(FIELD(p, "sources"), i), v->sources[i]);
}

static void check_host_path(errs_t errs, path_t p, const CoreV1__HostPathVolumeSource *h)
{
	no_backsteps_check(errs, FIELD(p, "path"), h->path);
	if (h->type && *h->type)
		check_enum(errs, FIELD(p, "type"), h->type,
		           LIST("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate",
		                "File", "FileOrCreate", "Socket"));
}

static void check_azure_disk(errs_t errs, path_t p, const CoreV1__AzureDiskVolumeSource *d)
{
	bool managed = d->kind && !strcmp(d->kind, "Managed");

	if (d->caching_mode)
		check_enum(errs, FIELD(p, "cachingMode"), d->caching_mode,
		           LIST("None", "ReadOnly", "ReadWrite"));
	if (d->kind)
		check_enum(errs, FIELD(p, "kind"), d->kind, LIST("Dedicated", "Managed", "Shared"));
	if (managed && *d->disk_uri && !has_prefix(d->disk_uri, "/subscriptions/"))
		field_not_supported(
		    errs, FIELD(p, "diskURI"), d->disk_uri,
		    LIST("/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/"
		         "microsoft.compute/disks/{disk-id}"));
}

static void check_iscsi(errs_t errs, path_t p, const CoreV1__ISCSIVolumeSource *i)
{
	if (*i->iqn && !has_prefix(i->iqn, "iqn") && !has_prefix(i->iqn, "eui") &&
	    !has_prefix(i->iqn, "naa"))
		field_invalid(errs, FIELD(p, "iqn"), i->iqn, "must be valid format");
	if (i->lun < 0 || i->lun > 255)
		field_invalid_int(errs, FIELD(p, "lun"), i->lun,
		                  "must be between 0 and 255, inclusive");
	if ((i->chap_auth_discovery || i->chap_auth_session) && !i->secret_ref)
		field_required(errs, FIELD(p, "secretRef"), "");
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
	else if (f->has_lun && (f->lun < 0 || f->lun > 255))
		field_invalid_int(errs, FIELD(p, "lun"), f->lun,
		                  "must be between 0 and 255, inclusive");
}

/* What goes beyond required members. */
static void check_details(errs_t errs, path_t p, const ProtobufCMessage *msg)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;

	if (d == &core_v1__host_path_volume_source__descriptor) {
		check_host_path(errs, p, (const CoreV1__HostPathVolumeSource *)msg);
	} else if (d == &core_v1__secret_volume_source__descriptor) {
		const CoreV1__SecretVolumeSource *v = (const CoreV1__SecretVolumeSource *)msg;
		check_mode(errs, FIELD(p, "defaultMode"), v->has_default_mode, v->default_mode);
		check_items(errs, FIELD(p, "items"), v->items, v->n_items);
	} else if (d == &core_v1__config_map_volume_source__descriptor) {
		const CoreV1__ConfigMapVolumeSource *v = (const CoreV1__ConfigMapVolumeSource *)msg;
		check_required(errs, FIELD(p, "name"), v->local_object_reference->name);
		check_mode(errs, FIELD(p, "defaultMode"), v->has_default_mode, v->default_mode);
		check_items(errs, FIELD(p, "items"), v->items, v->n_items);
	} else if (d == &core_v1__downward_apivolume_source__descriptor) {
		const CoreV1__DownwardAPIVolumeSource *v =
		    (const CoreV1__DownwardAPIVolumeSource *)msg;
		check_mode(errs, FIELD(p, "defaultMode"), v->has_default_mode, v->default_mode);
		check_downward(errs, p, v->items, v->n_items);
	} else if (d == &core_v1__projected_volume_source__descriptor) {
		check_projected(errs, p, (const CoreV1__ProjectedVolumeSource *)msg);
	} else if (d == &core_v1__empty_dir_volume_source__descriptor) {
		const CoreV1__EmptyDirVolumeSource *v = (const CoreV1__EmptyDirVolumeSource *)msg;
		if (v->size_limit)
			quantity_check_nonneg(errs, FIELD(p, "sizeLimit"), v->size_limit->string);
	} else if (d == &core_v1__nfsvolume_source__descriptor) {
		const CoreV1__NFSVolumeSource *v = (const CoreV1__NFSVolumeSource *)msg;
		if (*v->path != '/')
			field_invalid(errs, FIELD(p, "path"), v->path, "must be an absolute path");
	} else if (d == &core_v1__azure_disk_volume_source__descriptor) {
		check_azure_disk(errs, p, (const CoreV1__AzureDiskVolumeSource *)msg);
	} else if (d == &core_v1__iscsivolume_source__descriptor) {
		check_iscsi(errs, p, (const CoreV1__ISCSIVolumeSource *)msg);
	} else if (d == &core_v1__fcvolume_source__descriptor) {
		check_fc(errs, p, (const CoreV1__FCVolumeSource *)msg);
	} else if (d == &core_v1__csivolume_source__descriptor) {
		const CoreV1__CSIVolumeSource *v = (const CoreV1__CSIVolumeSource *)msg;
		if (*v->driver)
			check_name(errs, FIELD(p, "driver"), v->driver, names_dns1123_subdomain);
	} else if (d == &core_v1__image_volume_source__descriptor) {
		const CoreV1__ImageVolumeSource *v = (const CoreV1__ImageVolumeSource *)msg;
		check_required(errs, FIELD(p, "reference"), v->reference);
		check_required_enum(errs, FIELD(p, "pullPolicy"), v->pull_policy,
		                    LIST("Always", "IfNotPresent", "Never"));
	} else if (d == &core_v1__git_repo_volume_source__descriptor) {
		local_path_check(errs, FIELD(p, "directory"),
		                 ((const CoreV1__GitRepoVolumeSource *)msg)->directory);
	} else if (d == &core_v1__flocker_volume_source__descriptor) {
		const CoreV1__FlockerVolumeSource *v = (const CoreV1__FlockerVolumeSource *)msg;
		if (!*v->dataset_name && !*v->dataset_uuid)
			field_required(errs, p, "one of datasetName and datasetUUID is required");
	} else if (d == &core_v1__ephemeral_volume_source__descriptor) {
		if (!((const CoreV1__EphemeralVolumeSource *)msg)->volume_claim_template)
			field_required(errs, FIELD(p, "volumeClaimTemplate"), "");
	}
}

void volume_source_check(errs_t errs, path_t p, const ProtobufCMessage *source, const char *none)
{
	const struct schema_message *schema = schema_of(source->descriptor);
	int n = 0;

	for (size_t i = 0; i < schema->n_json; i++) {
		const struct schema_json *j = &schema->json[i];
		const ProtobufCMessage *msg =
		    *(ProtobufCMessage *const *)((const char *)source + j->field->offset);
		if (!msg)
			continue;
		/* emptyDir counts before hostPath, so hostPath is the one too many of the two. */
		bool shadowed = !strcmp(j->name, "hostPath") &&
		                source->descriptor == &core_v1__volume_source__descriptor &&
		                ((const CoreV1__VolumeSource *)source)->empty_dir;
		if (n || shadowed) {
			field_forbidden(errs, FIELD(p, j->name),
			                "may not specify more than 1 volume type");
			continue;
		}
		n++;
		check_required_members(errs, FIELD(p, j->name), j->name, msg);
		check_details(errs, FIELD(p, j->name), msg);
	}
	if (!n)
		field_required(errs, p, none);
}
