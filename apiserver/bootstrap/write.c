/* SPDX-License-Identifier: Apache-2.0 */
/* One object into the store, by the rules of its kind. */
#include "apiserver/bootstrap/bootstrap_impl.h"
#include "apiserver/bootstrap/merge.h"
#include "apiserver/endpoints/stored.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "proto/apiregistration_v1.pb-c.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/json_decode.h"
#include "proto/networking_v1.pb-c.h"
#include "proto/pb_decode.h"

struct write {
	struct bootstrap *b;
	struct arena arena;
	const struct wanted *w;
	write_done done;
	void *arg;
};

static void new_uid(void *arg, char ret[37])
{
	rng_uuid(ret);
}

static void name_suffix(void *arg, char ret[6])
{
	rng_name_suffix(ret, 5);
}

static struct strategy_ctx context(struct arena *a)
{
	int64_t now = clock_real_ns();

	return (struct strategy_ctx){
	    .arena = a,
	    .now_sec = now / 1000000000,
	    .now_nsec = (int32_t)(now % 1000000000),
	    .new_uid = new_uid,
	    .name_suffix = name_suffix,
	};
}

static void finish(struct write *wr, bool ok)
{
	write_done done = wr->done;
	void *arg = wr->arg;

	arena_deinit(&wr->arena);
	free(wr);
	done(arg, ok);
}

static void on_put(void *arg, const struct store_result *r)
{
	struct write *wr = arg;

	if (r->code < 0)
		log_error(&r->err, "A bootstrap object could not be written",
		          LOG_STR("resource", wr->w->res->resource), LOG_STR("name", wr->w->name));
	finish(wr, r->code == 0 && r->done);
}

/* What this server serves itself is always there. */
static void set_available(struct object *obj, struct arena *a, int64_t now_s)
{
	ApiregistrationV1__APIService *s = OBJECT_MSG(obj, ApiregistrationV1__APIService);
	ApiregistrationV1__APIServiceCondition *c =
	    (ApiregistrationV1__APIServiceCondition *)pb_new(
	        schema_of(&apiregistration_v1__apiservice_condition__descriptor), a);

	c->type = (char *)"Available";
	c->status = (char *)"True";
	c->reason = (char *)"Local";
	c->message = (char *)"Local APIServices are always available";
	c->last_transition_time->has_seconds = true;
	c->last_transition_time->seconds = now_s;
	s->status->conditions = arena_array(a, ApiregistrationV1__APIServiceCondition *, 1);
	s->status->conditions[0] = c;
	s->status->n_conditions = 1;
}

/* The new state of ServiceCIDRs and APIServices is clients' to read, not to write: it is set after
 * the rules. */
static void set_status(struct object *obj, struct arena *a, int64_t now_s)
{
	if (!strcmp(obj->res->resource, "apiservices"))
		set_available(obj, a, now_s);
	if (strcmp(obj->res->resource, "servicecidrs") != 0)
		return;
	NetworkingV1__ServiceCIDR *c = OBJECT_MSG(obj, NetworkingV1__ServiceCIDR);
	MetaV1__Condition *ready =
	    (MetaV1__Condition *)pb_new(schema_of(&meta_v1__condition__descriptor), a);

	ready->type = (char *)"Ready";
	ready->status = (char *)"True";
	ready->message = (char *)"Kubernetes default Service CIDR is ready";
	ready->last_transition_time->has_seconds = true;
	ready->last_transition_time->seconds = now_s;
	c->status->conditions = arena_array(a, MetaV1__Condition *, 1);
	c->status->conditions[0] = ready;
	c->status->n_conditions = 1;
}

static void put(struct write *wr, struct object *obj, int64_t expect)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	_cleanup_buf_ struct buf value = BUF_INIT;
	struct cacher_resource *cache = pipeline_cache(wr->b->p, wr->w->res);
	const char *below =
	    wr->w->ns[0] ? arena_printf(&wr->arena, "%s/%s", wr->w->ns, wr->w->name) : wr->w->name;
	struct err err = ERR_INIT;

	if (stored_encode(wr->w->res, obj, &wr->arena, &value, &err) < 0) {
		log_error(&err, "A bootstrap object could not be encoded",
		          LOG_STR("resource", wr->w->res->resource), LOG_STR("name", wr->w->name));
		finish(wr, false);
		return;
	}
	cacher_key(cache, slice_str(below), &key);
	store_put(cacher_store(pipeline_cacher(wr->b->p)), wr->b->loop, buf_view(&key),
	          buf_view(&value), expect, 0, on_put, wr);
}

static void create(struct write *wr, struct object *obj, const struct strategy_ctx *ctx)
{
	const struct strategy *st = registry_strategy(wr->w->res, "");
	struct field_errors errs = field_errors_in(&wr->arena);

	registry_before_create(ctx, st, obj, &errs);
	if (errs.n) {
		_cleanup_buf_ struct buf text = BUF_INIT;

		field_errors_message(&errs, st->kind, wr->w->name, &text);
		log_v(2, "A bootstrap object is outside of its kind's rules",
		      LOG_SLICE("errors", buf_view(&text)));
	}
	set_status(obj, &wr->arena, ctx->now_sec);
	put(wr, obj, 0);
}

static void update(struct write *wr, struct object *want, const struct cache_object *o)
{
	struct object have;
	struct err err = ERR_INIT;

	if (stored_decode(wr->w->res, blob_view(o->blob), o->mod_revision, &wr->arena, &have,
	                  &err) < 0) {
		log_error(&err, "A stored object does not decode",
		          LOG_STR("resource", wr->w->res->resource), LOG_STR("name", wr->w->name));
		finish(wr, true);
		return;
	}
	if (!bootstrap_merge(&have, want, &wr->arena)) {
		finish(wr, true);
		return;
	}
	if (object_generation(&have))
		object_set_generation(&have, object_generation(&have) + 1);
	put(wr, &have, o->mod_revision);
}

void bootstrap_write(struct bootstrap *b, const struct wanted *w, write_done done, void *arg)
{
	struct write *wr = calloc(1, sizeof(*wr));
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;

	if (!wr)
		abort();
	*wr = (struct write){.b = b, .w = w, .done = done, .arg = arg};
	arena_init(&wr->arena);
	struct strategy_ctx ctx = context(&wr->arena);
	if (json_decode(w->res->schema, slice_str(w->json), &wr->arena, NULL, &msg, NULL, &err) <
	    0) {
		log_error(&err, "A bootstrap object does not decode",
		          LOG_STR("resource", w->res->resource), LOG_STR("name", w->name));
		finish(wr, true);
		return;
	}
	struct object want = object_of(w->res, w->res->schema, msg);
	registry_defaults(&ctx, registry_strategy(w->res, ""), &want);
	struct cacher_snapshot snap = cacher_snapshot(pipeline_cache(b->p, w->res));
	const char *below = w->ns[0] ? arena_printf(&wr->arena, "%s/%s", w->ns, w->name) : w->name;
	const struct cache_object *o = cache_tree_get(&snap.tree, slice_str(below));

	if (o)
		update(wr, &want, o);
	else
		create(wr, &want, &ctx);
	cacher_snapshot_deinit(&snap);
}
