/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/volume/payload.h"

#include <string.h>

#include "kubelet/pod/field_ref.h"

enum { DEFAULT_MODE = 0644 };

struct collector {
	const struct payload_sources *from;
	struct arena *arena;
	struct payload *out;
	struct err *err;
	mode_t mode;
};

bool payload_is_volume(const CoreV1__VolumeSource *s)
{
	return s->config_map || s->secret || s->downward_api || s->projected;
}

bool payload_is_secret(const CoreV1__VolumeSource *s)
{
	return s->secret || s->projected;
}

/* A path that leaves the volume is nobody's. */
static int add(struct collector *c, const char *path, struct slice data, mode_t mode)
{
	if (!*path || *path == '/' || !strncmp(path, "..", 2) || strstr(path, "/..") ||
	    strlen(path) > 4096)
		return err_set(c->err, ERR_INVALID, "invalid path: %s", path);
	payload_add(c->out, c->arena, path, data, mode);
	return 0;
}

static bool value_of(const ProtobufCMessage *msg, bool secret, const char *key, struct slice *ret)
{
	const CoreV1__Secret *s = (const void *)msg;
	const CoreV1__ConfigMap *m = (const void *)msg;
	for (size_t i = 0; secret && i < s->n_data; i++)
		if (!strcmp(s->data[i]->key, key)) {
			*ret = slice_of(s->data[i]->value.data, s->data[i]->value.len);
			return true;
		}
	for (size_t i = 0; !secret && i < m->n_data; i++)
		if (!strcmp(m->data[i]->key, key)) {
			*ret = slice_str(m->data[i]->value);
			return true;
		}
	for (size_t i = 0; !secret && i < m->n_binary_data; i++)
		if (!strcmp(m->binary_data[i]->key, key)) {
			*ret =
			    slice_of(m->binary_data[i]->value.data, m->binary_data[i]->value.len);
			return true;
		}
	return false;
}

static struct slice keep(struct collector *c, struct slice s)
{
	return slice_of(arena_memdup(c->arena, s.len ? s.data : (const uint8_t *)"", s.len), s.len);
}

static int add_all(struct collector *c, const ProtobufCMessage *msg, bool secret)
{
	const CoreV1__Secret *s = (const void *)msg;
	const CoreV1__ConfigMap *m = (const void *)msg;
	int r = 0;
	for (size_t i = 0; secret && !r && i < s->n_data; i++)
		r = add(c, arena_strdup(c->arena, s->data[i]->key),
		        keep(c, slice_of(s->data[i]->value.data, s->data[i]->value.len)), c->mode);
	for (size_t i = 0; !secret && !r && i < m->n_data; i++)
		r = add(c, arena_strdup(c->arena, m->data[i]->key),
		        keep(c, slice_str(m->data[i]->value)), c->mode);
	for (size_t i = 0; !secret && !r && i < m->n_binary_data; i++)
		r = add(
		    c, arena_strdup(c->arena, m->binary_data[i]->key),
		    keep(c, slice_of(m->binary_data[i]->value.data, m->binary_data[i]->value.len)),
		    c->mode);
	return r;
}

static enum object_state add_object(struct collector *c, enum object_kind kind, const char *name,
                                    CoreV1__KeyToPath *const *items, size_t n, bool optional)
{
	const struct pod *p = c->from->pod;
	struct object_view v;
	bool secret = kind == OBJECT_SECRET;
	enum object_state s =
	    objects_get(p->k->objects, kind, p->ns, name, c->from->wake, c->from->arg, &v);
	if (s == OBJECT_FAILED && v.missing && optional)
		return OBJECT_READY;
	if (s == OBJECT_FAILED)
		err_set(c->err, ERR_NOT_FOUND, "%s", v.error);
	if (s != OBJECT_READY)
		return s;
	if (!n)
		return add_all(c, v.msg, secret) ? OBJECT_FAILED : OBJECT_READY;
	for (size_t i = 0; i < n; i++) {
		struct slice value;
		if (!value_of(v.msg, secret, items[i]->key, &value)) {
			if (optional)
				continue;
			err_set(c->err, ERR_NOT_FOUND,
			        secret ? "references non-existent secret key: %s"
			               : "configmap references non-existent config key: %s",
			        items[i]->key);
			return OBJECT_FAILED;
		}
		mode_t mode = items[i]->has_mode ? (mode_t)items[i]->mode : c->mode;
		if (add(c, items[i]->path, keep(c, value), mode))
			return OBJECT_FAILED;
	}
	return OBJECT_READY;
}

static enum object_state add_fields(struct collector *c,
                                    CoreV1__DownwardAPIVolumeFile *const *items, size_t n)
{
	const struct pod *p = c->from->pod;
	for (size_t i = 0; i < n; i++) {
		const CoreV1__DownwardAPIVolumeFile *f = items[i];
		const char *value = "";
		if (f->field_ref) {
			value = field_ref_value(p, f->field_ref->field_path, c->arena, c->err);
		} else if (f->resource_field_ref) {
			const CoreV1__ResourceFieldSelector *r = f->resource_field_ref;
			const CoreV1__Container *k = pod_container_spec(p, r->container_name);
			if (!k) {
				err_set(c->err, ERR_NOT_FOUND, "container %s not found",
				        r->container_name);
				return OBJECT_FAILED;
			}
			value = resource_ref_value(p, k, r->resource, r->divisor, c->arena, c->err);
		}
		mode_t mode = f->has_mode ? (mode_t)f->mode : c->mode;
		if (!value || add(c, f->path, slice_str(value), mode))
			return OBJECT_FAILED;
	}
	return OBJECT_READY;
}

static enum object_state add_token(struct collector *c,
                                   const CoreV1__ServiceAccountTokenProjection *s)
{
	const char *token = NULL, *error = NULL;
	enum object_state state = token_get(c->from->tokens, s, &token, &error);
	if (state == OBJECT_FAILED)
		err_set(c->err, ERR_UNAVAILABLE, "failed to fetch token: %s", error);
	if (state == OBJECT_READY &&
	    add(c, s->path, slice_str(arena_strdup(c->arena, token)), c->mode))
		return OBJECT_FAILED;
	return state;
}

static enum object_state add_projection(struct collector *c, const CoreV1__VolumeProjection *v)
{
	if (v->config_map)
		return add_object(c, OBJECT_CONFIG_MAP, v->config_map->local_object_reference->name,
		                  v->config_map->items, v->config_map->n_items,
		                  v->config_map->optional);
	if (v->secret)
		return add_object(c, OBJECT_SECRET, v->secret->local_object_reference->name,
		                  v->secret->items, v->secret->n_items, v->secret->optional);
	if (v->downward_api)
		return add_fields(c, v->downward_api->items, v->downward_api->n_items);
	if (v->service_account_token)
		return add_token(c, v->service_account_token);
	err_set(c->err, ERR_NOT_IMPLEMENTED, "this kind of projected source is not supported");
	return OBJECT_FAILED;
}

static mode_t mode_of(bool said, int32_t mode)
{
	return said ? (mode_t)mode & 07777 : DEFAULT_MODE;
}

enum object_state payload_collect(const struct payload_sources *from, const CoreV1__VolumeSource *s,
                                  struct arena *a, struct payload *ret, struct err *err)
{
	struct collector c = {from, a, ret, err, DEFAULT_MODE};
	*ret = (struct payload){0};
	if (s->config_map) {
		c.mode = mode_of(s->config_map->has_default_mode, s->config_map->default_mode);
		return add_object(&c, OBJECT_CONFIG_MAP,
		                  s->config_map->local_object_reference->name, s->config_map->items,
		                  s->config_map->n_items, s->config_map->optional);
	}
	if (s->secret) {
		c.mode = mode_of(s->secret->has_default_mode, s->secret->default_mode);
		return add_object(&c, OBJECT_SECRET, s->secret->secret_name, s->secret->items,
		                  s->secret->n_items, s->secret->optional);
	}
	if (s->downward_api) {
		c.mode = mode_of(s->downward_api->has_default_mode, s->downward_api->default_mode);
		return add_fields(&c, s->downward_api->items, s->downward_api->n_items);
	}
	c.mode = mode_of(s->projected->has_default_mode, s->projected->default_mode);
	enum object_state worst = OBJECT_READY;
	for (size_t i = 0; i < s->projected->n_sources; i++) {
		enum object_state state = add_projection(&c, s->projected->sources[i]);
		if (state == OBJECT_FAILED)
			return state;
		worst = MAX(worst, state);
	}
	return worst;
}
