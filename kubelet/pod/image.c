/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/pod/image.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/codec/duration.h"
#include "kubelet/image/name.h"
#include "kubelet/image/puller.h"
#include "kubelet/objects.h"
#include "kubelet/pod/files.h"

enum { DOCKER_CONFIG_BYTES = 1 << 16 };

struct image_ensure {
	struct pod *pod;
	char *container, *image; /* image: with a tag or digest */
	bool always, never, pulled;
	uint64_t began_ms, pull_ms;
	struct cri_call *call;
	struct pull *pull;
	image_done_fn done;
	void *arg;
};

/* Back-offs */

static struct image_backoff *backoff_of(struct pod *p, const char *image, bool make)
{
	LIST_FOREACH (&p->backoffs, b, struct image_backoff, link)
		if (!strcmp(b->image, image))
			return b;
	if (!make)
		return NULL;
	size_t n = strlen(image) + 1;
	struct image_backoff *b = calloc(1, sizeof(*b) + n);
	if (!b)
		abort();
	memcpy(b->image, image, n);
	list_add_tail(&p->backoffs, &b->link);
	return b;
}

uint64_t image_backing_off(struct pod *p, const char *image, const char **ret_error)
{
	const struct image_backoff *b = backoff_of(p, image, false);
	uint64_t now = now_real_ms();
	if (!b || !backoff_active(&b->at, b->at.last_ms, now))
		return 0;
	*ret_error = b->error;
	return b->at.last_ms + b->at.delay_ms - now;
}

/* The life of one call */

static void ensure_free(struct image_ensure *i)
{
	objects_forget(i->pod->k->objects, i);
	free(i->container);
	free(i->image);
	free(i);
}

void image_ensure_drop(struct image_ensure *i)
{
	if (!i)
		return;
	cri_call_drop(i->call);
	pull_drop(i->pull);
	ensure_free(i);
}

static void finish(struct image_ensure *i, const struct image_info *info, const char *reason,
                   const char *message)
{
	i->done(info, reason, message, i->arg);
	ensure_free(i);
}

static void ask_status(struct image_ensure *i);

static void tell_pulled(struct image_ensure *i, const CriV1__Image *image)
{
	char took[DURATION_BYTES], waited[DURATION_BYTES];
	duration_format((int64_t)i->pull_ms * 1000000, took);
	duration_format((int64_t)(clock_mono_ms() - i->began_ms) * 1000000, waited);
	pod_event(i->pod, i->container, false, "Pulled",
	          "Successfully pulled image \"%s\" in %s (%s including waiting). Image size: %llu "
	          "bytes.",
	          i->image, took, waited, (unsigned long long)image->size);
}

static void on_pulled(const char *error, uint64_t pull_ms, void *arg)
{
	struct image_ensure *i = arg;
	i->pull = NULL;
	i->pull_ms = pull_ms;
	if (!error) {
		i->pulled = true;
		ask_status(i);
		return;
	}
	struct image_backoff *b = backoff_of(i->pod, i->image, true);
	free(b->error);
	b->error = strdup(error);
	uint64_t now = now_real_ms();
	backoff_raise(&b->at, now, now);
	pod_event(i->pod, i->container, true, "Failed", "Failed to pull image \"%s\": %s", i->image,
	          error);
	finish(i, NULL, "ErrImagePull", error);
}

/* Credentials */

/* Adds what a secret holds; other kinds of secrets hold none. */
static void add_secret(struct keyring *k, const CoreV1__Secret *s, struct arena *a)
{
	bool legacy = !strcmp(s->type, "kubernetes.io/dockercfg");
	const char *key = legacy ? ".dockercfg" : ".dockerconfigjson";
	if (!legacy && strcmp(s->type, "kubernetes.io/dockerconfigjson"))
		return;
	for (size_t i = 0; i < s->n_data; i++) {
		struct err err = ERR_INIT;
		if (strcmp(s->data[i]->key, key))
			continue;
		if (keyring_add(k, slice_of(s->data[i]->value.data, s->data[i]->value.len), legacy,
		                a, &err))
			log_warning("Could not read an image pull secret",
			            LOG_STR("secret", s->metadata->name));
	}
}

static void pull(void *arg);

/* The pull secrets of the pod, and what lies in the node's own file. False: they are on their way.
 */
static bool collect_credentials(struct image_ensure *i, struct keyring *k, struct arena *a)
{
	struct pod *p = i->pod;
	const CoreV1__PodSpec *s = p->spec->spec;
	const char *missing = NULL;
	bool waits = false;
	for (size_t n = 0; n < s->n_image_pull_secrets; n++) {
		const char *name = s->image_pull_secrets[n]->name;
		struct object_view v;
		enum object_state state =
		    objects_get(p->k->objects, OBJECT_SECRET, p->ns, name, pull, i, &v);
		waits |= state == OBJECT_WAIT;
		if (state == OBJECT_READY)
			add_secret(k, (const void *)v.msg, a);
		else if (state == OBJECT_FAILED)
			missing = missing ? arena_printf(a, "%s, %s", missing, name) : name;
	}
	if (waits)
		return false;
	if (missing)
		pod_event(p, NULL, true, "FailedToRetrieveImagePullSecret",
		          "Unable to retrieve some image pull secrets (%s); attempting to pull the "
		          "image may not succeed.",
		          missing);
	struct slice node;
	struct err err = ERR_INIT;
	if (file_read(arena_printf(a, "%s/config.json", p->k->config->root_dir),
	              DOCKER_CONFIG_BYTES, a, &node) &&
	    keyring_add(k, node, false, a, &err))
		log_warning("Could not read the node's credentials", LOG_STR("err", err.text));
	return true;
}

static void pull(void *arg)
{
	struct image_ensure *i = arg;
	_cleanup_arena_ struct arena a = {0};
	struct keyring keyring = {0};
	if (i->pull || i->call || !collect_credentials(i, &keyring, &a))
		return;
	struct pull_request q = {.image = i->image,
	                         .sandbox = sandbox_config(i->pod, 0, false, &a)};
	q.auths = keyring_lookup(&keyring, image_repository(i->image, &a), &a, &q.n_auths);
	pod_event(i->pod, i->container, false, "Pulling", "Pulling image \"%s\"", i->image);
	i->began_ms = clock_mono_ms();
	i->pull = pull_start(i->pod->k->puller, &q, on_pulled, i);
}

static void on_status(const struct cri_result *r, void *arg)
{
	struct image_ensure *i = arg;
	const CriV1__ImageStatusResponse *m = (const void *)r->body;
	_cleanup_arena_ struct arena a = {0};
	i->call = NULL;
	if (!m) {
		const char *text = arena_printf(&a, "Failed to inspect image \"%s\": %s", i->image,
		                                cri_error_text(r, &a));
		pod_event(i->pod, i->container, true, "InspectFailed", "%s", text);
		finish(i, NULL, "ImageInspectError", text);
		return;
	}
	bool there = m->image && *m->image->id;
	if (i->pulled && there)
		tell_pulled(i, m->image);
	else if (there && !i->always)
		pod_event(
		    i->pod, i->container, false, "Pulled",
		    "Container image \"%s\" already present on machine and can be accessed by "
		    "the pod",
		    i->image);
	if (there && (i->pulled || !i->always)) {
		struct image_info info = {
		    .ref = m->image->id,
		    .has_uid = m->image->uid != NULL,
		    .uid = m->image->uid ? m->image->uid->value : 0,
		    .username = m->image->username,
		};
		finish(i, &info, NULL, NULL);
	} else if (i->never) {
		const char *text = arena_printf(
		    &a, "Container image \"%s\" is not present with pull policy of Never",
		    i->image);
		pod_event(i->pod, i->container, true, "ErrImageNeverPull", "%s", text);
		finish(i, NULL, "ErrImageNeverPull", text);
	} else if (i->pulled) {
		finish(i, NULL, "ErrImagePull", "the image that was pulled is not there");
	} else {
		pull(i);
	}
}

static void ask_status(struct image_ensure *i)
{
	_cleanup_arena_ struct arena a = {0};
	CriV1__ImageStatusRequest *q =
	    CRI_NEW(&a, CriV1__ImageStatusRequest, CRI_V1__IMAGE_STATUS_REQUEST__INIT);
	q->image = CRI_NEW(&a, CriV1__ImageSpec, CRI_V1__IMAGE_SPEC__INIT);
	q->image->image = i->image;
	i->call = cri_call(i->pod->k->cri, CRI_IMAGE_STATUS, q, CRI_TIMEOUT_MS, on_status, i);
}

struct image_ensure *image_ensure(struct pod *p, const CoreV1__Container *c, const char *image,
                                  image_done_fn done, void *arg)
{
	struct image_ensure *i = calloc(1, sizeof(*i));
	if (!i)
		abort();
	const char *policy = c->image_pull_policy ? c->image_pull_policy : "";
	i->pod = p;
	i->done = done;
	i->arg = arg;
	i->container = strdup(c->name);
	i->image = strdup(image);
	i->never = !strcmp(policy, "Never");
	i->always = !strcmp(policy, "Always") || (!*policy && image_name_is_latest(image));
	ask_status(i);
	return i;
}
