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
    {"quobyte", {"volume"}},
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
    {"csi", {"volumeHandle"}},
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

/* The sources of a projected volume share one folder. */
struct projection {
	errs_t errs;
	path_t volume; /* where upstream reports what concerns the folder */
	struct index paths;
};

static void check_folder(struct projection *f, const char *file, const char *shown)
{
	if (*file && !index_add(&f->paths, file, 0))
		field_invalid(f->errs, f->volume, shown, "conflicting duplicate paths");
}

static void project_items(struct projection *f, path_t p, const char *name,
                          CoreV1__KeyToPath *const *items, size_t n)
{
	check_required(f->errs, FIELD(p, "name"), name);
	check_items(f->errs, FIELD(p, "items"), items, n);
	for (size_t i = 0; i < n; i++)
		check_folder(f, items[i]->path, name);
}

static void project_token(struct projection *f, path_t p,
                          const CoreV1__ServiceAccountTokenProjection *t)
{
	int64_t s = t->expiration_seconds;

	if (t->has_expiration_seconds && s < 600)
		field_invalid_int(f->errs, FIELD(p, "expirationSeconds"), s,
		                  "may not specify a duration less than 10 minutes");
	if (t->has_expiration_seconds && s > (int64_t)1 << 32)
		field_invalid_int(f->errs, FIELD(p, "expirationSeconds"), s,
		                  "may not specify a duration larger than 2^32 seconds");
	check_file_path(f->errs, FIELD(f->volume, "path"), t->path);
}

static void project_bundle(struct projection *f, path_t p,
                           const CoreV1__ClusterTrustBundleProjection *b)
{
	errs_t errs = f->errs;

	if (b->name && b->signer_name) {
		field_invalid_json(errs, p, go_json_of(errs, b),
		                   "only one of name and signerName may be used");
	} else if (b->name) {
		if (!*b->name)
			field_required(errs, FIELD(p, "name"), "must be a valid object name");
		if (b->label_selector)
			field_invalid_json(errs, FIELD(p, "labelSelector"),
			                   json_of(errs, b->label_selector),
			                   "labelSelector must be unset if name is specified");
	} else if (b->signer_name) {
		if (!*b->signer_name)
			field_required(errs, FIELD(p, "signerName"), "must be a valid signer name");
		check_selector(errs, FIELD(p, "labelSelector"), b->label_selector);
	} else {
		field_required(errs, p, "either name or signerName must be specified");
	}
	check_file_path(errs, FIELD(p, "path"), b->path);
	check_folder(f, b->path, b->path);
}

static void check_projection(struct projection *f, path_t p, const CoreV1__VolumeProjection *v)
{
	int n = 0;

	if (v->secret && ++n)
		project_items(f, FIELD(p, "secret"), v->secret->local_object_reference->name,
		              v->secret->items, v->secret->n_items);
	if (v->config_map && ++n)
		project_items(f, FIELD(p, "configMap"), v->config_map->local_object_reference->name,
		              v->config_map->items, v->config_map->n_items);
	if (v->downward_api && ++n) {
		check_downward(f->errs, FIELD(p, "downwardAPI"), v->downward_api->items,
		               v->downward_api->n_items);
		for (size_t i = 0; i < v->downward_api->n_items; i++)
			check_folder(f, v->downward_api->items[i]->path,
			             v->downward_api->items[i]->path);
	}
	if (v->service_account_token && ++n)
		project_token(f, FIELD(p, "serviceAccountToken"), v->service_account_token);
	if (v->cluster_trust_bundle && ++n)
		project_bundle(f, FIELD(p, "clusterTrustBundle"), v->cluster_trust_bundle);
	if (v->pod_certificate && ++n)
		check_required(f->errs, FIELD(p, "podCertificate.signerName"),
		               v->pod_certificate->signer_name);
	if (n > 1)
		field_forbidden(f->errs, p, "may not specify more than 1 volume type per source");
}

static void check_projected(errs_t errs, path_t p, const CoreV1__ProjectedVolumeSource *v)
{
	check_mode(errs, FIELD(p, "defaultMode"), v->has_default_mode, v->default_mode);
	struct projection folder = {errs, p, INDEX_IN(errs->arena)};
	for (size_t i = 0; i < v->n_sources; i++)
		check_projection(&folder, FIELD_INDEX(FIELD(p, "sources"), i), v->sources[i]);
}

static void check_host_path(errs_t errs, path_t p, const CoreV1__HostPathVolumeSource *h)
{
	no_backsteps_check(errs, FIELD(p, "path"), h->path);
	if (h->type && *h->type)
		check_enum(errs, FIELD(p, "type"), h->type,
		           LIST("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate",
		                "File", "FileOrCreate", "Socket"));
}

void csi_driver_check(errs_t errs, path_t p, const char *name)
{
	char *lower = arena_strdup(errs->arena, name);
	const char *msgs[NAMES_MAX];
	size_t n;

	for (char *c = lower; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	check_required(errs, p, name);
	if (strlen(name) > 63)
		field_too_long(errs, p, 63);
	n = names_dns1123_subdomain(lower, errs->arena, msgs);
	for (size_t i = 0; i < n; i++)
		field_invalid(errs, p, name, msgs[i]);
}

static void check_csi_secret(errs_t errs, path_t p, const CoreV1__SecretReference *r)
{
	if (!r)
		return;
	check_required_name(errs, FIELD(p, "name"), r->name, names_dns1123_subdomain);
	check_required_name(errs, FIELD(p, "namespace"), r->namespace_, names_dns1123_label);
}

static void check_csi_volume(errs_t errs, path_t p, const CoreV1__CSIPersistentVolumeSource *v)
{
	csi_driver_check(errs, FIELD(p, "driver"), v->driver);
	check_csi_secret(errs, FIELD(p, "controllerPublishSecretRef"),
	                 v->controller_publish_secret_ref);
	check_csi_secret(errs, FIELD(p, "controllerExpandSecretRef"),
	                 v->controller_expand_secret_ref);
	check_csi_secret(errs, FIELD(p, "nodePublishSecretRef"), v->node_publish_secret_ref);
	check_csi_secret(errs, FIELD(p, "nodeExpandSecretRef"), v->node_expand_secret_ref);
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
		struct quantity limit = quantity_of(v->size_limit ? v->size_limit->string : "0");
		if (quantity_sign(&limit) < 0)
			field_forbidden(errs, FIELD(p, "sizeLimit"),
			                "SizeLimit field must be a valid resource quantity");
	} else if (d == &core_v1__nfsvolume_source__descriptor) {
		const CoreV1__NFSVolumeSource *v = (const CoreV1__NFSVolumeSource *)msg;
		if (*v->path != '/')
			field_invalid(errs, FIELD(p, "path"), v->path, "must be an absolute path");
	} else if (d == &core_v1__csivolume_source__descriptor) {
		const CoreV1__CSIVolumeSource *v = (const CoreV1__CSIVolumeSource *)msg;
		csi_driver_check(errs, FIELD(p, "driver"), v->driver);
		if (v->node_publish_secret_ref)
			check_required_name(errs, FIELD(p, "nodePublishSecretRef.name"),
			                    v->node_publish_secret_ref->name,
			                    names_dns1123_subdomain);
	} else if (d == &core_v1__csipersistent_volume_source__descriptor) {
		check_csi_volume(errs, p, (const CoreV1__CSIPersistentVolumeSource *)msg);
	} else if (d == &core_v1__local_volume_source__descriptor) {
		no_backsteps_check(errs, FIELD(p, "path"),
		                   ((const CoreV1__LocalVolumeSource *)msg)->path);
	} else if (d == &core_v1__image_volume_source__descriptor) {
		const CoreV1__ImageVolumeSource *v = (const CoreV1__ImageVolumeSource *)msg;
		check_required(errs, FIELD(p, "reference"), v->reference);
		check_required_enum(errs, FIELD(p, "pullPolicy"), v->pull_policy,
		                    LIST("Always", "IfNotPresent", "Never"));
	} else if (d == &core_v1__git_repo_volume_source__descriptor) {
		local_path_check(errs, FIELD(p, "directory"),
		                 ((const CoreV1__GitRepoVolumeSource *)msg)->directory);
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
		vendor_volume_check(errs, FIELD(p, j->name), msg);
	}
	if (!n)
		field_required(errs, p, none);
}
