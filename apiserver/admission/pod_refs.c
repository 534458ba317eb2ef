/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/admission/pod_refs.h"
#include "proto/meta_v1.pb-c.h"
#include <stdio.h>

struct visit {
	const CoreV1__Pod *pod;
	pod_ref_fn fn;
	void *arg;
};

static void tell(const struct visit *v, enum node_object kind, const char *name)
{
	if (name && *name)
		v->fn(v->arg, kind, v->pod->metadata->namespace_, name);
}

static void tell_secret(const struct visit *v, const CoreV1__LocalObjectReference *ref)
{
	if (ref)
		tell(v, NODE_SECRET, ref->name);
}

static void visit_env(const struct visit *v, CoreV1__EnvVar *const *env, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const CoreV1__EnvVarSource *from = env[i]->value_from;

		if (from && from->secret_key_ref)
			tell_secret(v, from->secret_key_ref->local_object_reference);
		if (from && from->config_map_key_ref)
			tell(v, NODE_CONFIGMAP,
			     from->config_map_key_ref->local_object_reference->name);
	}
}

static void visit_env_from(const struct visit *v, CoreV1__EnvFromSource *const *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (from[i]->secret_ref)
			tell_secret(v, from[i]->secret_ref->local_object_reference);
		if (from[i]->config_map_ref)
			tell(v, NODE_CONFIGMAP,
			     from[i]->config_map_ref->local_object_reference->name);
	}
}

static void visit_containers(const struct visit *v, CoreV1__Container *const *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		visit_env(v, c[i]->env, c[i]->n_env);
		visit_env_from(v, c[i]->env_from, c[i]->n_env_from);
	}
}

static void visit_projected(const struct visit *v, const CoreV1__ProjectedVolumeSource *p)
{
	for (size_t i = 0; i < p->n_sources; i++) {
		const CoreV1__VolumeProjection *s = p->sources[i];

		if (s->secret)
			tell_secret(v, s->secret->local_object_reference);
		if (s->config_map)
			tell(v, NODE_CONFIGMAP, s->config_map->local_object_reference->name);
	}
}

/* Drivers that know their secret by a reference. */
static void visit_drivers(const struct visit *v, const CoreV1__VolumeSource *s)
{
	if (s->azure_file)
		tell(v, NODE_SECRET, s->azure_file->secret_name);
	if (s->cephfs)
		tell_secret(v, s->cephfs->secret_ref);
	if (s->cinder)
		tell_secret(v, s->cinder->secret_ref);
	if (s->flex_volume)
		tell_secret(v, s->flex_volume->secret_ref);
	if (s->rbd)
		tell_secret(v, s->rbd->secret_ref);
	if (s->scale_io)
		tell_secret(v, s->scale_io->secret_ref);
	if (s->iscsi)
		tell_secret(v, s->iscsi->secret_ref);
	if (s->storageos)
		tell_secret(v, s->storageos->secret_ref);
	if (s->csi)
		tell_secret(v, s->csi->node_publish_secret_ref);
}

static void visit_volume(const struct visit *v, const CoreV1__Volume *vol)
{
	const CoreV1__VolumeSource *s = vol->volume_source;
	char claim[512];

	if (s->secret)
		tell(v, NODE_SECRET, s->secret->secret_name);
	if (s->config_map)
		tell(v, NODE_CONFIGMAP, s->config_map->local_object_reference->name);
	if (s->projected)
		visit_projected(v, s->projected);
	if (s->persistent_volume_claim)
		tell(v, NODE_PVC, s->persistent_volume_claim->claim_name);
	if (s->ephemeral) {
		snprintf(claim, sizeof(claim), "%s-%s", v->pod->metadata->name, vol->name);
		tell(v, NODE_PVC, claim);
	}
	visit_drivers(v, s);
}

static void visit_claims(const struct visit *v)
{
	const CoreV1__PodSpec *spec = v->pod->spec;
	const CoreV1__PodStatus *st = v->pod->status;

	for (size_t i = 0; i < spec->n_resource_claims; i++)
		tell(v, NODE_RESOURCE_CLAIM, spec->resource_claims[i]->resource_claim_name);
	for (size_t i = 0; i < st->n_resource_claim_statuses; i++)
		tell(v, NODE_RESOURCE_CLAIM, st->resource_claim_statuses[i]->resource_claim_name);
	if (st->extended_resource_claim_status)
		tell(v, NODE_RESOURCE_CLAIM,
		     st->extended_resource_claim_status->resource_claim_name);
}

void pod_refs(const CoreV1__Pod *pod, pod_ref_fn fn, void *arg)
{
	const struct visit v = {pod, fn, arg};
	const CoreV1__PodSpec *spec = pod->spec;

	tell(&v, NODE_SERVICE_ACCOUNT, spec->service_account_name);
	for (size_t i = 0; i < spec->n_image_pull_secrets; i++)
		tell_secret(&v, spec->image_pull_secrets[i]);
	visit_containers(&v, spec->init_containers, spec->n_init_containers);
	visit_containers(&v, spec->containers, spec->n_containers);
	for (size_t i = 0; i < spec->n_ephemeral_containers; i++) {
		const CoreV1__EphemeralContainerCommon *c =
		    spec->ephemeral_containers[i]->ephemeral_container_common;

		visit_env(&v, c->env, c->n_env);
		visit_env_from(&v, c->env_from, c->n_env_from);
	}
	for (size_t i = 0; i < spec->n_volumes; i++)
		visit_volume(&v, spec->volumes[i]);
	visit_claims(&v);
}

/* --- persistent volumes --------------------------------------------------------------------------
 */

static void tell_far(const CoreV1__SecretReference *ref, const char *ns, pod_ref_fn fn, void *arg)
{
	if (ref && ref->name[0])
		fn(arg, NODE_SECRET, ref->namespace_[0] ? ref->namespace_ : ns, ref->name);
}

void pv_secrets(const CoreV1__PersistentVolume *pv, pod_ref_fn fn, void *arg)
{
	const CoreV1__PersistentVolumeSource *s = pv->spec->persistent_volume_source;
	const char *ns = pv->spec->claim_ref ? pv->spec->claim_ref->namespace_ : "";

	if (s->azure_file && s->azure_file->secret_name[0])
		fn(arg, NODE_SECRET,
		   s->azure_file->secret_namespace ? s->azure_file->secret_namespace : ns,
		   s->azure_file->secret_name);
	if (s->cephfs)
		tell_far(s->cephfs->secret_ref, ns, fn, arg);
	if (s->cinder)
		tell_far(s->cinder->secret_ref, ns, fn, arg);
	if (s->flex_volume)
		tell_far(s->flex_volume->secret_ref, ns, fn, arg);
	if (s->rbd)
		tell_far(s->rbd->secret_ref, ns, fn, arg);
	if (s->scale_io)
		tell_far(s->scale_io->secret_ref, ns, fn, arg);
	if (s->iscsi)
		tell_far(s->iscsi->secret_ref, ns, fn, arg);
	if (s->storageos && s->storageos->secret_ref)
		fn(arg, NODE_SECRET, s->storageos->secret_ref->namespace_,
		   s->storageos->secret_ref->name);
	if (s->csi) {
		tell_far(s->csi->node_stage_secret_ref, ns, fn, arg);
		tell_far(s->csi->node_publish_secret_ref, ns, fn, arg);
		tell_far(s->csi->node_expand_secret_ref, ns, fn, arg);
	}
}
