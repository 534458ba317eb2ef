/* SPDX-License-Identifier: Apache-2.0 */
/* The annotations that pods were described by before there were fields, and others that mean
 * something for a pod. */
#include "apiserver/registry/core/pod.h"
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/defaults.h"

#define MIRROR "kubernetes.io/config.mirror"
#define DELETION_COST "controller.kubernetes.io/pod-deletion-cost"
#define SECCOMP_POD "seccomp.security.alpha.kubernetes.io/pod"
#define SECCOMP_CONTAINER "container.seccomp.security.alpha.kubernetes.io/"
#define APPARMOR_CONTAINER "container.apparmor.security.beta.kubernetes.io/"

/* A decimal number of 32 bits, as strconv reads it and without superfluous zeros. */
static bool is_deletion_cost(const char *s)
{
	const char *digits = s + (*s == '-' || *s == '+');
	int64_t n = 0;

	if (!*digits || *s == '+' || (*digits == '0' && (digits[1] || digits != s)))
		return false;
	for (; *digits; digits++) {
		if (*digits < '0' || *digits > '9' || n > INT32_MAX)
			return false;
		n = n * 10 + (*digits - '0');
	}
	return *s == '-' ? n <= (int64_t)INT32_MAX + 1 : n <= INT32_MAX;
}

static bool has_container(const CoreV1__PodSpec *spec, const char *name)
{
	for (size_t i = 0; i < spec->n_containers; i++)
		if (!strcmp(spec->containers[i]->name, name))
			return true;
	for (size_t i = 0; i < spec->n_init_containers; i++)
		if (!strcmp(spec->init_containers[i]->name, name))
			return true;
	for (size_t i = 0; i < spec->n_ephemeral_containers; i++)
		if (!strcmp(ephemeral_as_container(spec->ephemeral_containers[i])->name, name))
			return true;
	return false;
}

static void check_seccomp(errs_t errs, path_t p, const char *profile)
{
	if (list_has(LIST("runtime/default", "docker/default", "unconfined"), profile))
		return;
	if (has_prefix(profile, "localhost/"))
		local_path_check(errs, p, profile + strlen("localhost/"));
	else
		field_invalid(errs, p, profile, "must be a valid seccomp profile");
}

static void check_apparmor(errs_t errs, path_t p, const char *container, const char *profile,
                           const CoreV1__PodSpec *spec)
{
	if (!has_container(spec, container))
		field_invalid(errs, p, container, "container not found");
	if (*profile && !list_has(LIST("runtime/default", "unconfined"), profile) &&
	    !has_prefix(profile, "localhost/"))
		field_add(errs, FIELD_INVALID, p, field_quote(errs->arena, profile),
		          "invalid AppArmor profile name: \"%s\"", profile);
}

void pod_annotations_check(errs_t errs, path_t p, struct string_entry *const *map, size_t n,
                           const CoreV1__PodSpec *spec)
{
	for (size_t i = 0; i < n; i++) {
		const char *key = map[i]->key, *value = map[i]->value ? map[i]->value : "";
		path_t at = FIELD_KEY(p, key);
		if (!strcmp(key, MIRROR) && !*spec->node_name)
			field_invalid(errs, at, value,
			              "must set spec.nodeName if mirror pod annotation is set");
		else if (!strcmp(key, DELETION_COST) && !is_deletion_cost(value))
			field_invalid(errs, at, value, "must be a 32bit integer");
		else if (!strcmp(key, SECCOMP_POD) || has_prefix(key, SECCOMP_CONTAINER))
			check_seccomp(errs, FIELD(p, key), value);
		else if (has_prefix(key, APPARMOR_CONTAINER))
			check_apparmor(errs, at, key + strlen(APPARMOR_CONTAINER), value, spec);
	}
}

/* --- annotation and field ----------------------------------------------------------------------
 */

/* Both kinds of profiles have a type and a file; the names differ. */
struct profile {
	const char *type, *file;
};

static void match(errs_t errs, path_t p, const char *what, const struct profile *field,
                  const char *annotation)
{
	static const char local[] = "localhost/";
	bool is_local = has_prefix(annotation, local), same = true;

	if (!strcmp(field->type, "Unconfined"))
		same = !strcmp(annotation, "unconfined");
	else if (!strcmp(field->type, "RuntimeDefault"))
		same = !strcmp(annotation, "runtime/default") ||
		       (!strcmp(what, "seccomp") && !strcmp(annotation, "docker/default"));
	else if (!strcmp(field->type, "Localhost"))
		same = is_local;
	if (!same)
		field_add(errs, FIELD_FORBIDDEN, FIELD(p, "type"), NULL,
		          "%s type in annotation and field must match", what);
	else if (!strcmp(field->type, "Localhost") &&
	         (!field->file || strcmp(field->file, annotation + strlen(local))))
		field_add(errs, FIELD_FORBIDDEN, FIELD(p, "localhostProfile"), NULL,
		          "%s profile in annotation and field must match", what);
}

struct matching {
	errs_t errs;
	struct string_entry *const *map;
	size_t n;
	const CoreV1__PodSpec *spec;
};

static const char *annotation(const struct matching *m, const char *prefix, const char *name)
{
	return strings_get(m->map, m->n, arena_printf(m->errs->arena, "%s%s", prefix, name));
}

static void match_container(void *arg, path_t p, const CoreV1__Container *c)
{
	const struct matching *m = arg;
	const CoreV1__SecurityContext *sc = c->security_context;
	const CoreV1__PodSecurityContext *psc = m->spec->security_context;
	const CoreV1__SeccompProfile *s = sc ? sc->seccomp_profile : NULL;
	const CoreV1__AppArmorProfile *a = sc && sc->app_armor_profile ? sc->app_armor_profile
	                                   : psc                       ? psc->app_armor_profile
	                                                               : NULL;
	bool is_windows = m->spec->os && !strcmp(m->spec->os->name, "windows");
	const char *text = s ? annotation(m, SECCOMP_CONTAINER, c->name) : NULL;

	if (text)
		match(m->errs, FIELD(p, "securityContext.seccompProfile"), "seccomp",
		      &(struct profile){s->type, s->localhost_profile}, text);
	text = a && !is_windows ? annotation(m, APPARMOR_CONTAINER, c->name) : NULL;
	if (text)
		match(m->errs, FIELD(p, "securityContext.appArmorProfile"), "apparmor",
		      &(struct profile){a->type, a->localhost_profile}, text);
}

void pod_annotations_match(errs_t errs, path_t spec_path, struct string_entry *const *map, size_t n,
                           const CoreV1__PodSpec *spec)
{
	struct matching m = {errs, map, n, spec};
	const CoreV1__SeccompProfile *s =
	    spec->security_context ? spec->security_context->seccomp_profile : NULL;
	const char *text = s ? strings_get(map, n, SECCOMP_POD) : NULL;

	if (!n)
		return;
	if (text)
		match(errs, FIELD(spec_path, "securityContext.seccompProfile"), "seccomp",
		      &(struct profile){s->type, s->localhost_profile}, text);
	pod_each_container(spec, spec_path, match_container, &m);
}

/* --- changes -----------------------------------------------------------------------------------
 */

static void forbid(errs_t errs, path_t p, const char *key, const char *verb)
{
	if (has_prefix(key, APPARMOR_CONTAINER))
		field_add(errs, FIELD_FORBIDDEN, FIELD_KEY(p, key), NULL,
		          "may not %s AppArmor annotations", verb);
	else if (!strcmp(key, MIRROR))
		field_add(errs, FIELD_FORBIDDEN, FIELD_KEY(p, key), NULL,
		          "may not %s mirror pod annotation", verb);
}

void pod_annotations_check_update(errs_t errs, const CoreV1__Pod *now, const CoreV1__Pod *old)
{
	path_t p = FIELD(NULL, "metadata.annotations");
	struct string_entry *const *map = STRINGS(now->metadata->annotations);
	struct string_entry *const *was = STRINGS(old->metadata->annotations);
	size_t n = now->metadata->n_annotations, n_was = old->metadata->n_annotations;

	for (size_t i = 0; i < n_was; i++) {
		const char *value = strings_get(map, n, was[i]->key);
		if (!value || strcmp(value, was[i]->value ? was[i]->value : ""))
			forbid(errs, p, was[i]->key, "remove or update");
	}
	for (size_t i = 0; i < n; i++)
		if (!strings_get(was, n_was, map[i]->key))
			forbid(errs, p, map[i]->key, "add");
}

bool pod_is_mirror(const CoreV1__Pod *pod)
{
	return strings_get(STRINGS(pod->metadata->annotations), pod->metadata->n_annotations,
	                   MIRROR);
}

/* --- AppArmor: the annotation becomes the field -------------------------------------------------
 */

/* NULL: no valid profile. */
static CoreV1__AppArmorProfile *apparmor_of(struct arena *a, const char *text)
{
	struct field_errors errs = field_errors_in(a);
	CoreV1__AppArmorProfile *p =
	    MSG_NEW(a, CoreV1__AppArmorProfile, core_v1__app_armor_profile__descriptor);

	if (!strcmp(text, "unconfined")) {
		p->type = arena_strdup(a, "Unconfined");
	} else if (!strcmp(text, "runtime/default")) {
		p->type = arena_strdup(a, "RuntimeDefault");
	} else if (has_prefix(text, "localhost/")) {
		p->type = arena_strdup(a, "Localhost");
		p->localhost_profile = arena_strdup(a, text + strlen("localhost/"));
	}
	apparmor_check(&errs, NULL, p);
	return errs.n ? NULL : p;
}

static void take_profile(struct arena *a, const CoreV1__Pod *pod, CoreV1__Container *c)
{
	const CoreV1__PodSecurityContext *psc = pod->spec->security_context;
	const char *text =
	    strings_get(STRINGS(pod->metadata->annotations), pod->metadata->n_annotations,
	                arena_printf(a, APPARMOR_CONTAINER "%s", c->name));

	if (!text || (c->security_context && c->security_context->app_armor_profile))
		return;
	CoreV1__AppArmorProfile *profile = apparmor_of(a, text);
	if (!profile || (psc && same_msg(profile, psc->app_armor_profile)))
		return;
	if (!c->security_context)
		c->security_context =
		    MSG_NEW(a, CoreV1__SecurityContext, core_v1__security_context__descriptor);
	c->security_context->app_armor_profile = profile;
}

void pod_apparmor_take(struct arena *a, CoreV1__Pod *pod)
{
	if (!pod->metadata->n_annotations ||
	    (pod->spec->os && !strcmp(pod->spec->os->name, "windows")))
		return;
	for (size_t i = 0; i < pod->spec->n_init_containers; i++)
		take_profile(a, pod, pod->spec->init_containers[i]);
	for (size_t i = 0; i < pod->spec->n_containers; i++)
		take_profile(a, pod, pod->spec->containers[i]);
}
