/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/admit/admit.h"
#include "apiserver/admit/config.h"
#include "apiserver/admit/event_rate.h"
#include "apiserver/admit/policies.h"
#include "apiserver/admission/admission.h"
#include "apiserver/admit/subject_restriction.h"
#include "apiserver/auth/auth.h"
#include "apiserver/endpoints/stored.h"
#include "apiserver/storage/cacher.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "proto/meta_v1.pb-c.h"

enum { FRESH_TIMEOUT_MS = 5000, PLUGINS_MAX = 64, CONFLICTS_MAX = 16 };

struct admit {
	struct pipeline *p;
	struct auth *auth;
	bool on[PLUGINS_MAX];
	struct policies *policies;
	struct event_rate *event_rate; /* NULL: events are taken as they come */
	bool event_rate_on;
	bool subjects; /* CertificateSubjectRestriction, which reads X.509 and so is not pure */
};

/* One phase of one request. */
struct phase {
	struct admit *a;
	struct admission_attrs *at;
	hook_done done;
	void *done_arg;
	bool validate;
	bool fresh;
	size_t next;                     /* plugin */
	struct admission_write *writes;  /* its, in flight */
	struct admission_write *written; /* and those that succeeded */
	unsigned conflicts;
	struct policies_held *policies; /* while it validates */
};

/* --- the world
 * ------------------------------------------------------------------------------------- */

static const struct object *world_get(void *arg, const struct resource_info *res, const char *ns,
                                      const char *name)
{
	struct phase *ph = arg;
	struct cacher_snapshot snap = cacher_snapshot(pipeline_cache(ph->a->p, res));
	const char *key = *ns ? arena_printf(ph->at->arena, "%s/%s", ns, name) : name;
	const struct cache_object *o = cache_tree_get(&snap.tree, slice_str(key));
	struct object *obj = arena_new(ph->at->arena, struct object);

	if (o &&
	    stored_decode(res, blob_view(o->blob), o->mod_revision, ph->at->arena, obj, NULL) < 0)
		o = NULL;
	cacher_snapshot_deinit(&snap);
	return o ? obj : NULL;
}

static size_t world_list(void *arg, const struct resource_info *res, const char *ns,
                         const struct object **ret)
{
	struct phase *ph = arg;
	struct arena *a = ph->at->arena;
	struct cacher_snapshot snap = cacher_snapshot(pipeline_cache(ph->a->p, res));
	struct slice prefix = *ns ? slice_str(arena_printf(a, "%s/", ns)) : SLICE_EMPTY;
	struct cache_cursor cur;
	struct cache_object *o;
	struct object *all = NULL;
	size_t n = 0, cap = 0;

	cache_cursor_seek(&cur, &snap.tree, prefix);
	while ((o = cache_cursor_next(&cur)) && slice_has_prefix(cache_object_key(o), prefix)) {
		if (n == cap) {
			size_t more = cap ? 2 * cap : 8;

			all = arena_grow(a, all, cap * sizeof(*all), more * sizeof(*all));
			cap = more;
		}
		if (stored_decode(res, blob_view(o->blob), o->mod_revision, a, &all[n], NULL) == 0)
			n++;
	}
	cacher_snapshot_deinit(&snap);
	*ret = all;
	return n;
}

/* Also for a service account, whose groups are known. */
static bool world_allowed(void *arg, const struct admission_question *q, const char **ret_reason)
{
	struct phase *ph = arg;
	struct arena *a = ph->at->arena;
	struct user_info account = {.name = q->account, .uid = ""};
	const char *ns = q->account ? strrchr(q->account, ':') : NULL;

	*ret_reason = "";
	if (!ph->a->auth)
		return true;
	if (ns) {
		static const char PREFIX[] = "system:serviceaccount:";
		const char *begin = q->account + sizeof(PREFIX) - 1;
		const char *groups[] = {
		    "system:serviceaccounts",
		    arena_printf(a, "system:serviceaccounts:%.*s", (int)(ns - begin), begin),
		    "system:authenticated"};
		account.groups = arena_memdup(a, groups, sizeof(groups));
		account.n_groups = ARRAY_LEN(groups);
	}
	const struct authz_attributes at = {
	    .user = q->account ? &account : &ph->at->req->user,
	    .verb = q->verb,
	    .is_resource = !*q->path,
	    .group = q->group,
	    .resource = q->resource,
	    .subresource = q->subresource,
	    .name = q->name,
	    .ns = q->ns,
	    .path = q->path,
	    .field_selector = q->field_selector,
	};
	return auth_authorize(ph->a->auth, &at, a, ret_reason) == AUTHZ_ALLOW;
}

static bool world_may(void *arg, const char *verb, const char *group, const char *resource,
                      const char *name)
{
	const struct admission_question q = {.verb = verb,
	                                     .group = group,
	                                     .resource = resource,
	                                     .subresource = "",
	                                     .ns = "",
	                                     .name = name,
	                                     .path = "",
	                                     .field_selector = ""};
	const char *reason;

	return world_allowed(arg, &q, &reason);
}

static void world_suffix(void *arg, char ret[6])
{
	rng_name_suffix(ret, 5);
}

/* --- refusals
 * --------------------------------------------------------------------------------------- */

/* The name that a refusal shows: that of the object, or of what will be generated. */
static const char *shown_name(const struct admission_attrs *at)
{
	if (at->name && at->name[0])
		return at->name;
	if (at->obj && at->obj->meta && at->obj->meta->name[0])
		return at->obj->meta->name;
	if (at->obj && at->obj->meta && at->obj->meta->generate_name[0])
		return at->obj->meta->generate_name;
	return "Unknown";
}

static const struct status *status_of(const struct refusal *r, const struct admission_attrs *at)
{
	struct status_cause *cause;
	struct status *s;

	switch (r->kind) {
	case REFUSE_NOT_FOUND:
		return status_not_found(at->arena, r->group, r->resource, r->name);
	case REFUSE_BAD_REQUEST:
		return status_bad_request(at->arena, "%s", r->why);
	case REFUSE_INTERNAL:
		return status_internal(at->arena, r->why);
	case REFUSE_FORBIDDEN:
		break;
	}
	s = status_forbidden(at->arena, at->res->group, at->res->resource, shown_name(at), r->why);
	if (r->reason[0]) {
		s->reason = r->reason;
		s->code = !strcmp(r->reason, "Unauthorized")            ? 401
		          : !strcmp(r->reason, "Forbidden")             ? 403
		          : !strcmp(r->reason, "RequestEntityTooLarge") ? 413
		                                                        : 422;
	}
	if (r->cause_message[0]) {
		cause = arena_new(at->arena, struct status_cause);
		*cause = (struct status_cause){r->cause_reason, r->cause_message, r->cause_field};
		s->details.causes = cause;
		s->details.n_causes = 1;
	}
	return s;
}

/* --- running
 * ----------------------------------------------------------------------------------------- */

static void run(struct phase *ph);

/* The phase is over. */
static void finish(struct phase *ph, const struct status *refusal)
{
	policies_let_go(TAKE(ph->policies));
	ph->done(ph->done_arg, refusal);
}

static void on_fresh(void *arg, int code, const struct err *err, int64_t revision)
{
	struct phase *ph = arg;

	if (code < 0) {
		finish(ph, status_of_err(ph->at->arena, code, err));
		return;
	}
	ph->fresh = true;
	run(ph);
}

/* --- writes of plugins
 * ---------------------------------------------------------------------------- */

static void put_next(struct phase *ph);

static void on_put(void *arg, const struct store_result *r)
{
	struct phase *ph = arg;

	if (r->code < 0) {
		finish(ph, status_of_err(ph->at->arena, r->code, &r->err));
		return;
	}
	if (r->done) {
		struct admission_write *w = ph->writes;

		ph->writes = w->next;
		w->next = ph->written;
		ph->written = w;
		put_next(ph);
		return;
	}
	if (++ph->conflicts > CONFLICTS_MAX) {
		finish(ph, status_conflict(ph->at->arena, ph->writes->obj->res->group,
		                           ph->writes->obj->res->resource,
		                           object_name(ph->writes->obj), STATUS_MODIFIED));
		return;
	}
	cacher_fresh(pipeline_cacher(ph->a->p), ph->at->loop, 0, FRESH_TIMEOUT_MS, on_fresh, ph);
}

static void put_next(struct phase *ph)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	_cleanup_buf_ struct buf value = BUF_INIT;
	const struct object *obj = ph->writes ? ph->writes->obj : NULL;
	struct err err = ERR_INIT;

	if (!obj) {
		ph->written = NULL;
		ph->next++;
		run(ph);
		return;
	}
	int64_t expect = strtoll(obj->meta->resource_version, NULL, 10);
	int r = stored_encode(obj->res, obj, ph->at->arena, &value, &err);
	if (r < 0) {
		finish(ph, status_of_err(ph->at->arena, r, &err));
		return;
	}
	const char *below =
	    arena_printf(ph->at->arena, "%s/%s", object_namespace(obj), object_name(obj));
	cacher_key(pipeline_cache(ph->a->p, obj->res), slice_str(below), &key);
	store_put(cacher_store(pipeline_cacher(ph->a->p)), ph->at->loop, buf_view(&key),
	          buf_view(&value), expect, 0, on_put, ph);
}

/* From the plugin that is next. */
static void run(struct phase *ph)
{
	const struct admission_world world = {.get = world_get,
	                                      .list = world_list,
	                                      .may = world_may,
	                                      .allowed = world_allowed,
	                                      .policies = policies_held_set(ph->policies),
	                                      .suffix = world_suffix,
	                                      .arg = ph};

	for (; ph->next < admission_n_plugins; ph->next++) {
		struct admission ad = {.at = ph->at,
		                       .world = &world,
		                       .arena = ph->at->arena,
		                       .fresh = ph->fresh,
		                       .written = ph->written};
		const struct admission_plugin *p = &admission_plugins[ph->next];
		const struct refusal *(*fn)(struct admission *) =
		    ph->validate ? p->validate : p->mutate;
		const struct refusal *r = fn && ph->a->on[ph->next] ? fn(&ad) : NULL;

		if (r && ad.stale && !ph->fresh) {
			cacher_fresh(pipeline_cacher(ph->a->p), ph->at->loop, 0, FRESH_TIMEOUT_MS,
			             on_fresh, ph);
			return;
		}
		if (r) {
			finish(ph, status_of(r, ph->at));
			return;
		}
		if (ad.writes && !ph->at->dry_run) {
			ph->writes = ad.writes;
			put_next(ph);
			return;
		}
	}
	finish(ph, NULL);
}

static void start(struct admit *a, struct admission_attrs *at, bool validate, hook_done done,
                  void *done_arg)
{
	struct phase *ph = arena_new(at->arena, struct phase);

	*ph = (struct phase){
	    .a = a, .at = at, .done = done, .done_arg = done_arg, .validate = validate};
	if (validate)
		ph->policies = policies_hold(a->policies);
	run(ph);
}

static bool is_rbac_write(const struct admission_attrs *at)
{
	return !strcmp(at->res->group, "rbac.authorization.k8s.io") &&
	       (at->op == ADMIT_CREATE || at->op == ADMIT_UPDATE);
}

/* Mutating admission is over: nobody may grant what they do not have. */
static void on_mutated(void *arg, const struct status *refusal)
{
	struct phase *ph = arg;

	if (!refusal && ph->a->auth && is_rbac_write(ph->at))
		refusal = auth_check_escalation(ph->a->auth, ph->at->req, ph->at->obj, ph->at->old,
		                                ph->at->arena);
	ph->done(ph->done_arg, refusal);
}

static void mutate(void *arg, struct admission_attrs *at, hook_done done, void *done_arg)
{
	struct phase *outer = arena_new(at->arena, struct phase);

	*outer = (struct phase){.a = arg, .at = at, .done = done, .done_arg = done_arg};
	start(arg, at, false, on_mutated, outer);
}

static void validate(void *arg, struct admission_attrs *at, hook_done done, void *done_arg)
{
	struct admit *a = arg;
	const char *why = a->subjects ? subject_restriction(at) : NULL;
	const char *later =
	    a->event_rate ? event_rate_refusal(a->event_rate, at, clock_mono_ns()) : NULL;

	if (later)
		done(done_arg, status_too_many_requests(at->arena, later, 0));
	else if (why)
		done(done_arg, status_forbidden(at->arena, at->res->group, at->res->resource,
		                                shown_name(at), why));
	else
		start(a, at, true, done, done_arg);
}

/* --- life cycle
 * --------------------------------------------------------------------------------------- */

static int turn(struct admit *a, const char *name, bool on, struct err *err)
{
	/* Upstream's plugins that have no counterpart here may still be named. */
	static const char *const KNOWN[] = {
	    "ClusterTrustBundleAttest", "EventRateLimit",           "ImagePolicyWebhook",
	    "MutatingAdmissionPolicy",  "MutatingAdmissionWebhook", "NamespaceAutoProvision",
	    "PodNodeSelector",          "PodTolerationRestriction", "ValidatingAdmissionWebhook",
	};

	for (size_t i = 0; i < admission_n_plugins; i++) {
		if (strcmp(admission_plugins[i].name, name) == 0) {
			a->on[i] = on;
			return 0;
		}
	}
	if (!strcmp(name, "CertificateSubjectRestriction")) {
		a->subjects = on;
		return 0;
	}
	if (!strcmp(name, "EventRateLimit")) {
		a->event_rate_on = on;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++) {
		if (!strcmp(KNOWN[i], name)) {
			if (on)
				log_warning("This admission plugin has no effect here",
				            LOG_STR("plugin", name));
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, "enable-admission-plugins plugin \"%s\" is unknown", name);
}

static int configure(struct admit *a, const char *file, struct err *err)
{
	_cleanup_arena_ struct arena arena = {0};
	struct admit_config *configs = NULL;
	int n = file ? admit_config_read(file, &arena, &configs, err) : 0, r = n < 0 ? n : 0;

	for (int i = 0; i < n && r == 0; i++) {
		if (strcmp(configs[i].plugin, "EventRateLimit"))
			log_warning("The configuration of this admission plugin has no effect here",
			            LOG_STR("plugin", configs[i].plugin));
		else if (a->event_rate_on && !a->event_rate)
			r = event_rate_new(configs[i].configuration, &a->event_rate, err);
	}
	if (r == 0 && a->event_rate_on && !a->event_rate)
		return err_set(err, ERR_INVALID, "the EventRateLimit plugin needs a configuration");
	return r;
}

int admit_new(const struct admit_options *o, struct pipeline *p, struct admit **ret,
              struct err *err)
{
	struct admit *a = calloc(1, sizeof(*a));
	struct pipeline_hooks *h = pipeline_hooks(p);
	int r = 0;

	if (!a)
		abort();
	a->p = p;
	a->auth = o->auth;
	a->subjects = true;
	for (size_t i = 0; i < admission_n_plugins; i++)
		a->on[i] = admission_plugins[i].by_default;
	for (size_t i = 0; i < o->n_enable && r == 0; i++)
		r = turn(a, o->enable[i], true, err);
	for (size_t i = 0; i < o->n_disable && r == 0; i++)
		r = turn(a, o->disable[i], false, err);
	if (r == 0)
		r = configure(a, o->config_file, err);
	if (r < 0) {
		event_rate_free(a->event_rate);
		free(a);
		return r;
	}
	a->policies = policies_new(p, o->state_loop);
	h->admit_mutate = mutate;
	h->admit_validate = validate;
	h->admit_arg = a;
	*ret = a;
	return 0;
}

void admit_free(struct admit *a)
{
	if (!a)
		return;
	policies_free(a->policies);
	event_rate_free(a->event_rate);
	free(a);
}

const char *const *admit_plugin_names(void)
{
	static const char *names[PLUGINS_MAX + 1];

	for (size_t i = 0; i < admission_n_plugins; i++)
		names[i] = admission_plugins[i].name;
	return names;
}
