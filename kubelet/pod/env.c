/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/pod/env.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kubelet/objects.h"
#include "kubelet/pod/env_file.h"
#include "kubelet/pod/field_ref.h"
#include "kubelet/volume/volume.h"
#include "proto/schema_messages.h"

enum { FILE_BYTES_MAX = 64 << 10 };

static void env_set(struct env *e, struct arena *a, const char *name, const char *value)
{
	for (size_t i = 0; i < e->n; i++)
		if (!strcmp(e->at[i].name, name)) {
			e->at[i].value = value;
			return;
		}
	e->at = arena_grow(a, e->at, e->n * sizeof(*e->at), (e->n + 1) * sizeof(*e->at));
	e->at[e->n++] = (struct env_var){name, value};
}

const char *env_get(const struct env *e, const char *name)
{
	for (size_t i = 0; i < e->n; i++)
		if (!strcmp(e->at[i].name, name))
			return e->at[i].value;
	return NULL;
}

/* References */

typedef const char *(*lookup_fn)(const void *arg, const char *name);

static const char *expand(const char *text, lookup_fn get, const void *arg, struct arena *a)
{
	if (!strchr(text, '$'))
		return text;
	_cleanup_buf_ struct buf b = BUF_INIT;
	for (const char *p = text; *p; p++) {
		const char *end = p[0] == '$' && p[1] == '(' ? strchr(p + 2, ')') : NULL;
		if (end) {
			const char *name = arena_strndup(a, p + 2, (size_t)(end - p - 2));
			const char *value = get(arg, name);
			if (value)
				buf_str(&b, value);
			else
				buf_add(&b, p, (size_t)(end - p) + 1);
			p = end;
		} else {
			buf_byte(&b, (uint8_t)*p);
			if (p[0] == '$' && p[1] == '$')
				p++;
		}
	}
	return arena_strndup(a, b.data, b.len);
}

static const char *get_env(const void *arg, const char *name)
{
	return env_get(arg, name);
}

const char *env_expand(const struct env *e, const char *text, struct arena *a)
{
	return expand(text, get_env, e, a);
}

struct strict {
	const struct env *env;
	const char **missing;
};

static const char *get_or_note(const void *arg, const char *name)
{
	const struct strict *s = arg;
	const char *value = env_get(s->env, name);
	if (!value)
		*s->missing = name;
	return value;
}

const char *env_expand_strict(const struct env *e, const char *text, struct arena *a,
                              const char **ret_missing)
{
	*ret_missing = NULL;
	struct strict s = {e, ret_missing};
	const char *r = expand(text, get_or_note, &s, a);
	return *ret_missing ? NULL : r;
}

/* Services */

struct services {
	const struct pod *pod;
	struct arena *arena;
	struct env env;
};

/* "my-svc" as part of a variable's name: MY_SVC. */
static const char *upper(struct arena *a, const char *name)
{
	char *s = arena_strdup(a, name);
	for (char *c = s; *c; c++)
		*c = *c == '-' || *c == '.' ? '_' : (char)toupper((unsigned char)*c);
	return s;
}

static void add_link(struct services *s, const char *prefix, const CoreV1__Service *svc,
                     const CoreV1__ServicePort *port, bool first)
{
	struct arena *a = s->arena;
	const char *ip = svc->spec->cluster_ip;
	const char *protocol = *port->protocol ? port->protocol : "TCP";
	char *lower = arena_strdup(a, protocol);
	for (char *c = lower; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	const char *url = strchr(ip, ':') ? arena_printf(a, "%s://[%s]:%d", lower, ip, port->port)
	                                  : arena_printf(a, "%s://%s:%d", lower, ip, port->port);
	const char *base = arena_printf(a, "%s_PORT_%d_%s", prefix, port->port, protocol);
	if (first)
		env_set(&s->env, a, arena_printf(a, "%s_PORT", prefix), url);
	env_set(&s->env, a, base, url);
	env_set(&s->env, a, arena_printf(a, "%s_PROTO", base), lower);
	env_set(&s->env, a, arena_printf(a, "%s_PORT", base), arena_printf(a, "%d", port->port));
	env_set(&s->env, a, arena_printf(a, "%s_ADDR", base), ip);
}

static void add_service(const struct informer_object *o, void *arg)
{
	struct services *s = arg;
	const CoreV1__PodSpec *spec = s->pod->spec->spec;
	bool links = !spec->has_enable_service_links || spec->enable_service_links;
	bool kubernetes = !strcmp(o->ns, "default") && !strcmp(o->name, "kubernetes");
	if (!kubernetes && (!links || strcmp(o->ns, s->pod->ns)))
		return;
	struct arena *a = s->arena;
	const CoreV1__Service *svc = (void *)informer_object_decode(o, &core_v1__service_schema, a);
	if (!svc || !svc->spec->cluster_ip || !*svc->spec->cluster_ip ||
	    !strcmp(svc->spec->cluster_ip, "None") || !svc->spec->n_ports)
		return;
	const char *name = upper(a, o->name);
	env_set(&s->env, a, arena_printf(a, "%s_SERVICE_HOST", name), svc->spec->cluster_ip);
	env_set(&s->env, a, arena_printf(a, "%s_SERVICE_PORT", name),
	        arena_printf(a, "%d", svc->spec->ports[0]->port));
	for (size_t i = 0; i < svc->spec->n_ports; i++) {
		const CoreV1__ServicePort *port = svc->spec->ports[i];
		if (*port->name)
			env_set(&s->env, a,
			        arena_printf(a, "%s_SERVICE_PORT_%s", name, upper(a, port->name)),
			        arena_printf(a, "%d", port->port));
		add_link(s, name, svc, port, i == 0);
	}
}

/* Sources */

struct builder {
	struct pod *pod;
	const CoreV1__Container *container;
	loop_fn wake;
	void *arg;
	struct arena *arena;
	struct env *out;
	const struct env *services;
	struct err *err;
};

static enum object_state fetch(struct builder *b, enum object_kind kind, const char *name,
                               bool optional, struct object_view *ret)
{
	enum object_state s =
	    objects_get(b->pod->k->objects, kind, b->pod->ns, name, b->wake, b->arg, ret);
	if (s == OBJECT_FAILED && ret->missing && optional) {
		*ret = (struct object_view){0};
		return OBJECT_READY;
	}
	if (s == OBJECT_FAILED)
		err_set(b->err, ERR_NOT_FOUND, "%s", ret->error);
	return s;
}

static const char *data_text(struct arena *a, const ProtobufCBinaryData *d)
{
	return arena_strndup(a, d->data, d->len);
}

static enum object_state from_source(struct builder *b, const CoreV1__EnvFromSource *f)
{
	struct object_view v;
	struct arena *a = b->arena;
	const char *prefix = f->prefix ? f->prefix : "";
	if (f->config_map_ref) {
		enum object_state s =
		    fetch(b, OBJECT_CONFIG_MAP, f->config_map_ref->local_object_reference->name,
		          f->config_map_ref->optional, &v);
		const CoreV1__ConfigMap *m = (const void *)v.msg;
		for (size_t i = 0; s == OBJECT_READY && m && i < m->n_data; i++)
			env_set(b->out, a, arena_printf(a, "%s%s", prefix, m->data[i]->key),
			        arena_strdup(a, m->data[i]->value));
		return s;
	}
	if (!f->secret_ref)
		return OBJECT_READY;
	enum object_state s = fetch(b, OBJECT_SECRET, f->secret_ref->local_object_reference->name,
	                            f->secret_ref->optional, &v);
	const CoreV1__Secret *m = (const void *)v.msg;
	for (size_t i = 0; s == OBJECT_READY && m && i < m->n_data; i++)
		env_set(b->out, a, arena_printf(a, "%s%s", prefix, m->data[i]->key),
		        data_text(a, &m->data[i]->value));
	return s;
}

/* *ret NULL with OBJECT_READY: the variable is left out. */
static enum object_state config_map_key(struct builder *b, const CoreV1__ConfigMapKeySelector *r,
                                        const char **ret)
{
	struct object_view v;
	const char *name = r->local_object_reference->name;
	enum object_state s = fetch(b, OBJECT_CONFIG_MAP, name, r->optional, &v);
	const CoreV1__ConfigMap *m = (const void *)v.msg;
	if (s != OBJECT_READY)
		return s;
	for (size_t i = 0; m && i < m->n_data; i++)
		if (!strcmp(m->data[i]->key, r->key))
			*ret = arena_strdup(b->arena, m->data[i]->value);
	if (*ret || r->optional)
		return OBJECT_READY;
	err_set(b->err, ERR_NOT_FOUND, "couldn't find key %s in ConfigMap %s/%s", r->key,
	        b->pod->ns, name);
	return OBJECT_FAILED;
}

static enum object_state secret_key(struct builder *b, const CoreV1__SecretKeySelector *r,
                                    const char **ret)
{
	struct object_view v;
	const char *name = r->local_object_reference->name;
	enum object_state s = fetch(b, OBJECT_SECRET, name, r->optional, &v);
	const CoreV1__Secret *m = (const void *)v.msg;
	if (s != OBJECT_READY)
		return s;
	for (size_t i = 0; m && i < m->n_data; i++)
		if (!strcmp(m->data[i]->key, r->key))
			*ret = data_text(b->arena, &m->data[i]->value);
	if (*ret || r->optional)
		return OBJECT_READY;
	err_set(b->err, ERR_NOT_FOUND, "couldn't find key %s in Secret %s/%s", r->key, b->pod->ns,
	        name);
	return OBJECT_FAILED;
}

/* A regular file of a volume, not larger than FILE_BYTES_MAX. */
static int read_volume_file(const char *dir, const char *path, struct arena *a, struct slice *ret,
                            struct err *err)
{
	struct stat st;
	int fd = volume_open_beneath(dir, path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, ERR_NOT_FOUND, "open %s: %s", path, strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX) {
		close(fd);
		return err_set(err, ERR_INVALID, "%s is not a file of at most %d bytes", path,
		               FILE_BYTES_MAX);
	}
	uint8_t *text = arena_alloc(a, (size_t)st.st_size + 1);
	ssize_t n = read(fd, text, (size_t)st.st_size);
	close(fd);
	*ret = slice_of(text, n > 0 ? (size_t)n : 0);
	return n < 0 ? err_set(err, ERR_IO, "read %s: %s", path, strerror(errno)) : 0;
}

static enum object_state file_key(struct builder *b, const CoreV1__FileKeySelector *r,
                                  const char **ret)
{
	const char *dir = volume_path(b->pod, r->volume_name, b->arena);
	struct slice text;
	struct err err = ERR_INIT;
	if (!dir) {
		err_set(b->err, ERR_NOT_FOUND,
		        "cannot find the volume \"%s\" referenced by "
		        "FileKeyRef",
		        r->volume_name);
		return OBJECT_FAILED;
	}
	int bad = read_volume_file(dir, r->path, b->arena, &text, &err);
	if (!bad)
		*ret = env_file_value(text, r->key, b->arena, &err);
	if (*ret || (r->optional && err.code != ERR_INVALID))
		return OBJECT_READY;
	if (err.code)
		err_set(b->err, err.code, "couldn't parse env file: %s", err.text);
	else
		err_set(b->err, ERR_NOT_FOUND,
		        "environment variable key \"%s\" not found in file "
		        "\"%s\"",
		        r->key, r->path);
	return OBJECT_FAILED;
}

static enum object_state from_ref(struct builder *b, const CoreV1__EnvVarSource *f,
                                  const char **ret)
{
	if (f->config_map_key_ref)
		return config_map_key(b, f->config_map_key_ref, ret);
	if (f->secret_key_ref)
		return secret_key(b, f->secret_key_ref, ret);
	if (f->file_key_ref)
		return file_key(b, f->file_key_ref, ret);
	if (f->field_ref) {
		*ret = field_ref_value(b->pod, f->field_ref->field_path, b->arena, b->err);
	} else if (f->resource_field_ref) {
		const CoreV1__ResourceFieldSelector *r = f->resource_field_ref;
		const CoreV1__Container *c = b->container;
		if (r->container_name && *r->container_name)
			c = pod_container_spec(b->pod, r->container_name);
		if (!c) {
			err_set(b->err, ERR_NOT_FOUND, "container %s not found", r->container_name);
			return OBJECT_FAILED;
		}
		*ret = resource_ref_value(b->pod, c, r->resource, r->divisor, b->arena, b->err);
	} else {
		return OBJECT_READY;
	}
	return *ret ? OBJECT_READY : OBJECT_FAILED;
}

static const char *get_known(const void *arg, const char *name)
{
	const struct builder *b = arg;
	const char *v = env_get(b->out, name);
	return v ? v : env_get(b->services, name);
}

enum object_state env_build(struct pod *p, const CoreV1__Container *c, loop_fn wake, void *arg,
                            struct arena *a, struct env *ret, struct err *err)
{
	struct services services = {.pod = p, .arena = a};
	informer_each(p->k->pods->services, add_service, &services);
	*ret = (struct env){0};
	struct builder b = {p, c, wake, arg, a, ret, &services.env, err};
	enum object_state worst = OBJECT_READY;
	for (size_t i = 0; i < c->n_env_from; i++) {
		enum object_state s = from_source(&b, c->env_from[i]);
		if (s == OBJECT_FAILED)
			return s;
		worst = MAX(worst, s);
	}
	for (size_t i = 0; i < c->n_env; i++) {
		const CoreV1__EnvVar *v = c->env[i];
		const char *value = NULL;
		if (v->value_from) {
			enum object_state s = from_ref(&b, v->value_from, &value);
			if (s == OBJECT_FAILED)
				return s;
			worst = MAX(worst, s);
		} else {
			value = expand(v->value ? v->value : "", get_known, &b, a);
		}
		if (value)
			env_set(ret, a, v->name, value);
	}
	for (size_t i = 0; i < services.env.n; i++)
		if (!env_get(ret, services.env.at[i].name))
			env_set(ret, a, services.env.at[i].name, services.env.at[i].value);
	return worst;
}
