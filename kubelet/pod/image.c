/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/pod/image.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/codec/duration.h"

struct image_ensure {
	struct pod *pod;
	char *container, *image; /* image: with a tag or digest */
	bool always, never, pulled;
	uint64_t began_ms;
	struct cri_call *call;
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

/* Names */

/* A part of the path: lower-case letters and digits, with ".", "_" and "-" between them. */
static bool part_is_valid(const char *s, const char *end)
{
	if (s == end)
		return false;
	for (const char *c = s; c < end; c++) {
		bool plain = islower((unsigned char)*c) || isdigit((unsigned char)*c);
		bool edge = c == s || c + 1 == end;
		if (!plain && (edge || !strchr("._-", *c)))
			return false;
	}
	return true;
}

bool image_name_is_valid(const char *name)
{
	const char *end = name + strcspn(name, "@");
	const char *slash = memchr(name, '/', (size_t)(end - name));
	/* A first part with a dot, a port or the name localhost is a host. */
	if (slash &&
	    (memchr(name, '.', (size_t)(slash - name)) ||
	     memchr(name, ':', (size_t)(slash - name)) || !strncmp(name, "localhost/", 10)))
		name = slash + 1;
	const char *colon = memrchr(name, ':', (size_t)(end - name));
	const char *stop = colon ? colon : end;
	for (const char *s = name;; s++) {
		const char *next = memchr(s, '/', (size_t)(stop - s));
		if (!part_is_valid(s, next ? next : stop))
			return false;
		if (!next)
			break;
		s = next;
	}
	for (const char *c = colon ? colon + 1 : end; c < end; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	return !colon || colon + 1 < end;
}

static bool has_tag(const char *name)
{
	const char *slash = strrchr(name, '/');
	return strchr(name, '@') || strchr(slash ? slash : name, ':');
}

/* The life of one call */

static void ensure_free(struct image_ensure *i)
{
	free(i->container);
	free(i->image);
	free(i);
}

void image_ensure_drop(struct image_ensure *i)
{
	if (!i)
		return;
	cri_call_drop(i->call);
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
	char took[DURATION_BYTES];
	uint64_t ms = clock_mono_ms() - i->began_ms;
	duration_format((int64_t)ms * 1000000, took);
	pod_event(i->pod, i->container, false, "Pulled",
	          "Successfully pulled image \"%s\" in %s (%s including waiting). Image size: %llu "
	          "bytes.",
	          i->image, took, took, (unsigned long long)image->size);
}

static void on_pulled(const struct cri_result *r, void *arg)
{
	struct image_ensure *i = arg;
	i->call = NULL;
	if (r->code == RPC_OK) {
		i->pulled = true;
		ask_status(i);
		return;
	}
	struct image_backoff *b = backoff_of(i->pod, i->image, true);
	_cleanup_arena_ struct arena a = {0};
	const char *text = cri_error_text(r, &a);
	free(b->error);
	b->error = strdup(text);
	uint64_t now = now_real_ms();
	backoff_raise(&b->at, now, now);
	pod_event(i->pod, i->container, true, "Failed", "Failed to pull image \"%s\": %s", i->image,
	          text);
	finish(i, NULL, "ErrImagePull", text);
}

static void pull(struct image_ensure *i)
{
	_cleanup_arena_ struct arena a = {0};
	pod_event(i->pod, i->container, false, "Pulling", "Pulling image \"%s\"", i->image);
	CriV1__PullImageRequest *q =
	    CRI_NEW(&a, CriV1__PullImageRequest, CRI_V1__PULL_IMAGE_REQUEST__INIT);
	q->image = CRI_NEW(&a, CriV1__ImageSpec, CRI_V1__IMAGE_SPEC__INIT);
	q->image->image = i->image;
	q->sandbox_config = sandbox_config(i->pod, 0, false, &a);
	i->began_ms = clock_mono_ms();
	i->call = cri_call(i->pod->k->cri, CRI_PULL_IMAGE, q, 0, on_pulled, i);
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

struct image_ensure *image_ensure(struct pod *p, const CoreV1__Container *c, image_done_fn done,
                                  void *arg)
{
	struct image_ensure *i = calloc(1, sizeof(*i));
	if (!i)
		abort();
	const char *policy = c->image_pull_policy ? c->image_pull_policy : "";
	i->pod = p;
	i->done = done;
	i->arg = arg;
	i->container = strdup(c->name);
	bool tagged = has_tag(c->image);
	if (asprintf(&i->image, tagged ? "%s" : "%s:latest", c->image) < 0)
		abort();
	i->never = !strcmp(policy, "Never");
	i->always = !strcmp(policy, "Always") || (!*policy && !tagged);
	ask_status(i);
	return i;
}
