/* SPDX-License-Identifier: Apache-2.0 */
/* ServiceAccount: every pod runs as a service account that exists, with its token, the cluster's CA
 * and its namespace mounted, and with the account's pull secrets. */
#include "apiserver/admission/pod_refs.h"
#include "apiserver/admission/pods.h"
#include "proto/schema.h"

#define VOLUME_PREFIX "kube-api-access-"
#define MOUNT_PATH "/var/run/secrets/kubernetes.io/serviceaccount"

enum { TOKEN_S = 3607, FILE_MODE = 0644 };

/* --- the projected volume
 * ------------------------------------------------------------------------- */

static CoreV1__VolumeProjection *add_source(struct arena *a, CoreV1__ProjectedVolumeSource *p)
{
	CoreV1__VolumeProjection *v =
	    NEW_MSG(a, CoreV1__VolumeProjection, core_v1__volume_projection__descriptor);

	APPEND_MSG(a, p, sources, v);
	return v;
}

static void token_source(struct arena *a, CoreV1__VolumeProjection *v)
{
	v->service_account_token = NEW_MSG(a, CoreV1__ServiceAccountTokenProjection,
	                                   core_v1__service_account_token_projection__descriptor);
	v->service_account_token->has_expiration_seconds = true;
	v->service_account_token->expiration_seconds = TOKEN_S;
	v->service_account_token->path = (char *)"token";
}

static void ca_source(struct arena *a, CoreV1__VolumeProjection *v)
{
	CoreV1__KeyToPath *item = NEW_MSG(a, CoreV1__KeyToPath, core_v1__key_to_path__descriptor);

	item->key = item->path = (char *)"ca.crt";
	v->config_map =
	    NEW_MSG(a, CoreV1__ConfigMapProjection, core_v1__config_map_projection__descriptor);
	v->config_map->local_object_reference->name = (char *)"kube-root-ca.crt";
	APPEND_MSG(a, v->config_map, items, item);
}

static void namespace_source(struct arena *a, CoreV1__VolumeProjection *v)
{
	CoreV1__DownwardAPIVolumeFile *item =
	    NEW_MSG(a, CoreV1__DownwardAPIVolumeFile, core_v1__downward_apivolume_file__descriptor);

	item->path = (char *)"namespace";
	item->field_ref =
	    NEW_MSG(a, CoreV1__ObjectFieldSelector, core_v1__object_field_selector__descriptor);
	item->field_ref->api_version = (char *)"v1";
	item->field_ref->field_path = (char *)"metadata.namespace";
	v->downward_api =
	    NEW_MSG(a, CoreV1__DownwardAPIProjection, core_v1__downward_apiprojection__descriptor);
	APPEND_MSG(a, v->downward_api, items, item);
}

static void add_volume(struct arena *a, CoreV1__PodSpec *spec, const char *name)
{
	CoreV1__Volume *vol = NEW_MSG(a, CoreV1__Volume, core_v1__volume__descriptor);
	CoreV1__ProjectedVolumeSource *p =
	    NEW_MSG(a, CoreV1__ProjectedVolumeSource, core_v1__projected_volume_source__descriptor);

	p->has_default_mode = true;
	p->default_mode = FILE_MODE;
	token_source(a, add_source(a, p));
	ca_source(a, add_source(a, p));
	namespace_source(a, add_source(a, p));
	vol->name = (char *)name;
	vol->volume_source->projected = p;
	APPEND_MSG(a, spec, volumes, vol);
}

/* True when a container did not have the path mounted yet. */
static bool mount(struct arena *a, CoreV1__Container **c, size_t n, const char *volume)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		bool has = false;

		for (size_t m = 0; m < c[i]->n_volume_mounts; m++)
			has |= !strcmp(c[i]->volume_mounts[m]->mount_path, MOUNT_PATH);
		if (has)
			continue;
		CoreV1__VolumeMount *vm =
		    NEW_MSG(a, CoreV1__VolumeMount, core_v1__volume_mount__descriptor);
		vm->name = (char *)volume;
		vm->has_read_only = true;
		vm->read_only = true;
		vm->mount_path = (char *)MOUNT_PATH;
		APPEND_MSG(a, c[i], volume_mounts, vm);
		any = true;
	}
	return any;
}

static bool has_volume(const CoreV1__PodSpec *spec, const char *name)
{
	for (size_t i = 0; i < spec->n_volumes; i++)
		if (!strcmp(spec->volumes[i]->name, name))
			return true;
	return false;
}

static const char *existing_volume(const CoreV1__PodSpec *spec)
{
	for (size_t i = 0; i < spec->n_volumes; i++)
		if (!strncmp(spec->volumes[i]->name, VOLUME_PREFIX, strlen(VOLUME_PREFIX)))
			return spec->volumes[i]->name;
	return NULL;
}

static void mount_token(struct admission *ad, CoreV1__PodSpec *spec)
{
	const char *name = existing_volume(spec);
	bool there = name != NULL;
	char suffix[6];

	while (!name || (!there && has_volume(spec, name))) {
		ad->world->suffix(ad->world->arg, suffix);
		name = arena_printf(ad->arena, VOLUME_PREFIX "%s", suffix);
	}
	bool needed = mount(ad->arena, spec->init_containers, spec->n_init_containers, name);
	needed |= mount(ad->arena, spec->containers, spec->n_containers, name);
	if (needed && !there)
		add_volume(ad->arena, spec, name);
}

/* --- mutation
 * --------------------------------------------------------------------------------------- */

static const char *account_name(const CoreV1__PodSpec *spec)
{
	return spec->service_account_name[0] ? spec->service_account_name : "default";
}

static const struct refusal *no_account(const struct admission *ad, const char *name)
{
	return admission_forbid(
	    ad, "error looking up service account %s/%s: serviceaccount \"%s\" not found",
	    ad->at->ns, name, name);
}

static void copy_pull_secrets(struct arena *a, CoreV1__PodSpec *spec,
                              const CoreV1__ServiceAccount *sa)
{
	for (size_t i = 0; i < sa->n_image_pull_secrets; i++) {
		CoreV1__LocalObjectReference *ref = NEW_MSG(
		    a, CoreV1__LocalObjectReference, core_v1__local_object_reference__descriptor);

		ref->name = sa->image_pull_secrets[i]->name;
		APPEND_MSG(a, spec, image_pull_secrets, ref);
	}
}

static bool automount(const CoreV1__PodSpec *spec, const CoreV1__ServiceAccount *sa)
{
	if (spec->has_automount_service_account_token)
		return spec->automount_service_account_token;
	return !sa->has_automount_service_account_token || sa->automount_service_account_token;
}

const struct refusal *service_account_mutate(struct admission *ad)
{
	CoreV1__Pod *pod = admission_pod(ad);

	if (!pod || ad->at->op != ADMIT_CREATE || is_mirror(pod))
		return NULL;
	const char *name = account_name(pod->spec);
	const struct object *o = admission_get(ad, "", "serviceaccounts", ad->at->ns, name);
	if (!o)
		return no_account(ad, name);
	const CoreV1__ServiceAccount *sa = OBJECT_MSG(o, CoreV1__ServiceAccount);

	pod->spec->service_account_name = arena_strdup(ad->arena, name);
	pod->spec->service_account = pod->spec->service_account_name;
	if (automount(pod->spec, sa))
		mount_token(ad, pod->spec);
	if (!pod->spec->n_image_pull_secrets)
		copy_pull_secrets(ad->arena, pod->spec, sa);
	return NULL;
}

/* --- validation
 * -------------------------------------------------------------------------------------- */

struct mirror_check {
	const char *what;
};

static void on_ref(void *arg, enum node_object kind, const char *ns, const char *name)
{
	struct mirror_check *c = arg;

	if (kind == NODE_SECRET)
		c->what = "a mirror pod may not reference secrets";
}

static const struct refusal *mirror(const struct admission *ad, const CoreV1__Pod *pod)
{
	struct mirror_check c = {NULL};

	if (pod->spec->service_account_name[0])
		return admission_forbid(ad, "a mirror pod may not reference service accounts");
	pod_refs(pod, on_ref, &c);
	if (c.what)
		return admission_forbid(ad, "%s", c.what);
	for (size_t i = 0; i < pod->spec->n_volumes; i++) {
		const CoreV1__ProjectedVolumeSource *p =
		    pod->spec->volumes[i]->volume_source->projected;

		for (size_t s = 0; p && s < p->n_sources; s++)
			if (p->sources[s]->service_account_token)
				return admission_forbid(
				    ad, "a mirror pod may not use ServiceAccountToken volume "
				        "projections");
	}
	return NULL;
}

static bool lists_secret(const CoreV1__ServiceAccount *sa, const char *name)
{
	for (size_t i = 0; i < sa->n_secrets; i++)
		if (!strcmp(sa->secrets[i]->name, name))
			return true;
	return false;
}

/* An account that says so is limited to the secrets that it lists. */
static const struct refusal *limited_secrets(const struct admission *ad, const CoreV1__Pod *pod,
                                             const CoreV1__ServiceAccount *sa)
{
	for (size_t i = 0; i < pod->spec->n_volumes; i++) {
		const CoreV1__Volume *v = pod->spec->volumes[i];
		const CoreV1__SecretVolumeSource *s = v->volume_source->secret;

		if (s && s->secret_name && !lists_secret(sa, s->secret_name))
			return admission_forbid(ad,
			                        "volume with secret.secretName=\"%s\" is not "
			                        "allowed because service account %s does not "
			                        "reference that secret",
			                        s->secret_name, sa->metadata->name);
	}
	return NULL;
}

const struct refusal *service_account_validate(struct admission *ad)
{
	CoreV1__Pod *pod = admission_pod(ad);

	if (!pod || ad->at->op != ADMIT_CREATE)
		return NULL;
	if (is_mirror(pod))
		return mirror(ad, pod);
	const char *name = account_name(pod->spec);
	const struct object *o = admission_get(ad, "", "serviceaccounts", ad->at->ns, name);
	if (!o)
		return no_account(ad, name);
	const char *enforce = meta_annotation(o->meta, "kubernetes.io/enforce-mountable-secrets");
	if (!enforce || strcmp(enforce, "true") != 0)
		return NULL;
	return limited_secrets(ad, pod, OBJECT_MSG(o, CoreV1__ServiceAccount));
}
