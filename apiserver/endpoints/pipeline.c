/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/call.h"
#include "apiserver/endpoints/services.h"

#include "apiserver/storage/wire.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "proto/resource_table.h"

/* --- what the cache extracts ----------------------------------------------------------------- */

static const struct cache_pair *labels_of(const MetaV1__ObjectMeta *meta, struct arena *a)
{
	struct cache_pair *p = arena_array(a, struct cache_pair, meta->n_labels);

	for (size_t i = 0; i < meta->n_labels; i++)
		p[i] = (struct cache_pair){meta->labels[i]->key, meta->labels[i]->value};
	return p;
}

static void extract_decoded(const struct endpoint_resource *r, struct arena *a, struct slice value,
                            struct cache_object_spec *spec)
{
	const char **values = arena_array(a, const char *, STRATEGY_FIELDS_MAX);
	struct object obj;

	if (stored_decode(r->info, value, 0, a, &obj, NULL) < 0 || !obj.meta)
		return;
	spec->labels = labels_of(obj.meta, a);
	spec->n_labels = obj.meta->n_labels;
	registry_fields(r->st, &obj, a, values);
	spec->field_names = r->st->field_names;
	spec->field_values = values;
}

/* The weight of an object is what it takes as an item of a protobuf list, so that the size of a
 * list is known before its items are written; 0 where only encoding tells. */
static void extract(void *arg, struct arena *a, struct slice value, struct cache_object_spec *spec)
{
	const struct endpoint_resource *r = arg;
	bool plain = stored_is_plain(r->info);
	size_t bytes = plain ? stored_raw_bytes(value, spec->mod_revision) : 0;

	if (bytes)
		spec->weight = (uint32_t)(1 + wire_varint_bytes(bytes) + bytes);
	/* Labels alone can be had without decoding. */
	if (!plain || r->st->field_names ||
	    stored_labels(value, a, &spec->labels, &spec->n_labels) < 0)
		extract_decoded(r, a, value, spec);
}

/* --- life cycle ------------------------------------------------------------------------------ */

static void resource_init(struct pipeline *p, struct endpoint_resource *r,
                          const struct resource_info *info)
{
	const struct resource_info *main = info->parent ? info->parent : info;

	r->p = p;
	r->info = info;
	r->st = registry_strategy(main, info->subresource);
	if (main->storage_prefix)
		/* Of several versions of a kind, the stored one says what selectors see. */
		r->cache = cacher_resource(
		    p->cacher, main->storage_prefix + strlen("/registry/"),
		    info->parent || info->schema != info->storage_schema ? NULL : extract, r);
}

int pipeline_new(const struct pipeline_options *o, struct pipeline **ret, struct err *err)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		abort();
	p->o = *o;
	p->cacher = o->cacher;
	p->store = cacher_store(o->cacher);
	p->leases = lease_pool_new(p->store);
	p->resources = calloc(resource_n, sizeof(*p->resources));
	if (!p->resources)
		abort();
	for (size_t i = 0; i < resource_n; i++)
		resource_init(p, &p->resources[i], &resource_table[i]);
	pipeline_handle(p, "", "pods", "binding", endpoint_binding, NULL);
	pipeline_handle(p, "", "bindings", "", endpoint_binding, NULL);
	pipeline_handle(p, "", "pods", "eviction", endpoint_eviction, NULL);
	pipeline_handle(p, "", "componentstatuses", "", endpoint_component_status, NULL);
	if (o->service_ranges) {
		r = services_new(p, o->service_ranges, o->node_ports, &p->services, err);
		if (r < 0) {
			pipeline_free(p);
			return r;
		}
	}
	*ret = p;
	return 0;
}

void pipeline_free(struct pipeline *p)
{
	if (!p)
		return;
	services_free(p->services);
	lease_pool_free(p->leases);
	free(p->resources);
	free(p);
}

struct pipeline_hooks *pipeline_hooks(struct pipeline *p)
{
	return &p->o.hooks;
}

struct cacher *pipeline_cacher(const struct pipeline *p)
{
	return p->cacher;
}

struct endpoint_resource *pipeline_resource(const struct pipeline *p,
                                            const struct resource_info *info)
{
	return &p->resources[info - resource_table];
}

struct cacher_resource *pipeline_cache(const struct pipeline *p, const struct resource_info *res)
{
	return pipeline_resource(p, res)->cache;
}

void pipeline_handle(struct pipeline *p, const char *group, const char *resource,
                     const char *subresource, endpoint_handler fn, void *arg)
{
	for (size_t i = 0; i < resource_n; i++) {
		const struct resource_info *info = &resource_table[i];

		if (strcmp(info->group, group) || strcmp(info->resource, resource) ||
		    strcmp(info->subresource, subresource))
			continue;
		p->resources[i].handler = fn;
		p->resources[i].handler_arg = arg;
	}
}

/* --- serving --------------------------------------------------------------------------------- */

static void new_uid(void *arg, char ret[37])
{
	rng_uuid(ret);
}

static void name_suffix(void *arg, char ret[6])
{
	rng_name_suffix(ret, 5);
}

static struct strategy_user strategy_user_of(const struct user_info *u, struct arena *a)
{
	struct strategy_user s = {
	    .name = u->name,
	    .uid = u->uid,
	    .groups = u->groups,
	    .n_groups = u->n_groups,
	    .n_extra = u->n_extra,
	};

	s.extra = arena_zalloc(a, u->n_extra * sizeof(*s.extra));
	for (size_t i = 0; i < u->n_extra; i++) {
		s.extra[i].key = u->extra[i].key;
		s.extra[i].values = u->extra[i].values;
		s.extra[i].n_values = u->extra[i].n_values;
	}
	return s;
}

static void call_context(struct call *c)
{
	int64_t now = clock_real_ns();

	c->user = strategy_user_of(&c->req->user, c->a);
	c->warnings.arena = c->a;
	c->dry_run = c->req->options.dry_run;
	c->ctx = (struct strategy_ctx){
	    .arena = c->a,
	    .now_sec = now / 1000000000,
	    .now_nsec = (int32_t)(now % 1000000000),
	    .options = &c->p->o.strategy,
	    .user = &c->user,
	    .services = c->p->service_alloc,
	    .dry_run = c->dry_run,
	    .new_uid = new_uid,
	    .name_suffix = name_suffix,
	};
}

static unsigned verb_bit(enum request_verb v)
{
	static const unsigned bits[VERB_COUNT] = {
	    [VERB_GET] = RESOURCE_GET,       [VERB_LIST] = RESOURCE_LIST,
	    [VERB_WATCH] = RESOURCE_WATCH,   [VERB_CREATE] = RESOURCE_CREATE,
	    [VERB_UPDATE] = RESOURCE_UPDATE, [VERB_PATCH] = RESOURCE_PATCH,
	    [VERB_DELETE] = RESOURCE_DELETE, [VERB_DELETECOLLECTION] = RESOURCE_DELETECOLLECTION,
	};

	return bits[v];
}

static void (*const VERBS[VERB_COUNT])(struct call *c) = {
    [VERB_GET] = endpoint_get,       [VERB_LIST] = endpoint_list,
    [VERB_WATCH] = endpoint_watch,   [VERB_CREATE] = endpoint_create,
    [VERB_UPDATE] = endpoint_update, [VERB_PATCH] = endpoint_patch,
    [VERB_DELETE] = endpoint_delete, [VERB_DELETECOLLECTION] = endpoint_delete_collection,
};

/* Upstream warns of v1 Endpoints on every verb, on errors too. */
static void warn_deprecated(struct call *c)
{
	if (c->res->group[0] == '\0' && strcmp(c->res->resource, "endpoints") == 0)
		strategy_warn(&c->warnings, "v1 Endpoints is deprecated in v1.33+; use "
		                            "discovery.k8s.io/v1 EndpointSlice");
}

static bool verb_served(const struct call *c)
{
	enum request_verb v = c->req->verb;

	/* A proxy passes on methods that are no verb. */
	if (v == VERB_NONE)
		return strcmp(c->info->subresource, "proxy") == 0 &&
		       strcmp(c->req->method, "OPTIONS") == 0;
	if (!(c->info->verbs & verb_bit(v)))
		return false;
	/* An object is posted to its collection and written under its name. */
	if (v == VERB_CREATE && !c->info->parent && c->req->name[0])
		return false;
	if ((v == VERB_UPDATE || v == VERB_PATCH) && !c->req->name[0])
		return false;
	/* A namespaced resource is created, and its objects are named, in a namespace. */
	return !(c->info->namespaced && !c->req->ns[0] && v != VERB_LIST && v != VERB_WATCH);
}

static bool bad_include(const struct call *c)
{
	const char *s = c->req->options.include_object;

	return c->req->accept.as == AS_TABLE && s[0] && strcmp(s, "Metadata") &&
	       strcmp(s, "Object") && strcmp(s, "None");
}

/* A review or another resource whose only verb is create is no table. */
static bool has_table(const struct call *c)
{
	return c->info->verbs != RESOURCE_CREATE;
}

void call_init(struct call *c, const struct resource_info *info)
{
	c->info = info;
	c->res = info->parent ? info->parent : info;
	c->r = pipeline_resource(c->p, info);
	c->st = c->r->st ? c->r->st : pipeline_resource(c->p, c->res)->st;
	c->cache = c->r->cache;
	call_context(c);
}

struct call *call_new(struct pipeline *p, struct request *req, struct response_sink *sink,
                      const struct resource_info *info)
{
	struct call *c = arena_new(req->arena, struct call);

	c->p = p;
	c->req = req;
	c->sink = sink;
	c->a = req->arena;
	call_init(c, info);
	return c;
}

/* What no key of the store may be made of. */
static const struct status *bad_name(const struct call *c)
{
	const char *name = c->req->name, *why = NULL;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		why = arena_printf(c->a, "may not be '%s'", name);
	else if (strchr(name, '%'))
		why = "may not contain '%'";
	return why ? status_bad_request(c->a, "Name parameter invalid: \"%s\": %s", name, why)
	           : NULL;
}

static void dispatch_resource(struct call *c)
{
	const struct status *s;

	struct request *req = c->req;

	call_init(c, req->info);
	warn_deprecated(c);
	if (!verb_served(c)) {
		call_refuse(c, status_method_not_allowed(c->a));
		return;
	}
	if (req->fault) {
		call_refuse(c, req->fault);
		return;
	}
	s = bad_name(c);
	if (s) {
		call_refuse(c, s);
		return;
	}
	if (req->accept.as == AS_TABLE && !has_table(c)) {
		call_refuse(c, status_no_table(c->a));
		return;
	}
	if (bad_include(c)) {
		call_refuse(c,
		            status_bad_request(
		                c->a,
		                "Unable to convert to Table as requested: includeObject: Invalid "
		                "value: \"%s\": must be 'Metadata', 'Object', 'None', or empty",
		                req->options.include_object));
		return;
	}
	if (c->r->handler) {
		call_flush_warnings(c);
		c->r->handler(c->r->handler_arg, c->p, req, c->sink);
		return;
	}
	if (!c->cache ||
	    (c->info->parent && !c->r->st && strcmp(c->info->subresource, "scale") != 0)) {
		call_refuse(c, status_no_resource(c->a));
		return;
	}
	if (strcmp(c->info->subresource, "scale") == 0)
		endpoint_scale(c);
	else
		VERBS[req->verb](c);
}

static void dispatch(struct call *c)
{
	struct pipeline_hooks *h = &c->p->o.hooks;

	if (c->req->is_resource && c->req->info) {
		dispatch_resource(c);
		return;
	}
	if (h->other && h->other(h->other_arg, c->req, c->sink))
		return;
	call_refuse(c, c->req->fault ? c->req->fault : status_no_resource(c->a));
}

static void on_authorized(void *arg, const struct status *refusal)
{
	struct call *c = arg;

	if (refusal)
		call_refuse(c, refusal);
	else
		dispatch(c);
}

static void on_authenticated(void *arg, const struct status *refusal)
{
	struct call *c = arg;
	struct pipeline_hooks *h = &c->p->o.hooks;

	if (refusal)
		call_refuse(c, refusal);
	else if (h->authorize)
		h->authorize(h->authorize_arg, c->req, on_authorized, c);
	else
		dispatch(c);
}

void endpoints_serve(struct pipeline *p, struct request *req, struct response_sink *sink)
{
	struct call *c = arena_new(req->arena, struct call);
	struct pipeline_hooks *h = &p->o.hooks;

	c->p = p;
	c->req = req;
	c->sink = sink;
	c->a = req->arena;
	c->warnings.arena = c->a;
	if (h->authenticate)
		h->authenticate(h->authenticate_arg, req, on_authenticated, c);
	else
		on_authenticated(c, NULL);
}
