/* SPDX-License-Identifier: Apache-2.0 */
/* ConfigMaps, Secrets and ServiceAccounts. */
#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/row.h"
#include "common/codec/jvalue.h"

enum { SIZE_MAX_BYTES = 1 << 20 };

static const char immutable_text[] = "field is immutable when `immutable` is set";

static void check_key(errs_t errs, path_t p, const char *key)
{
	check_name(errs, FIELD_KEY(p, key), key, names_config_map_key);
}

static bool bytes_have(struct bytes_entry *const *map, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(map[i]->key, key))
			return true;
	return false;
}

static void configmap_validate(const struct strategy_ctx *ctx, const struct object *obj,
                               errs_t errs)
{
	const CoreV1__ConfigMap *c = OBJECT_MSG(obj, CoreV1__ConfigMap);
	size_t bytes = 0;

	for (size_t i = 0; i < c->n_data; i++) {
		check_key(errs, FIELD(NULL, "data"), c->data[i]->key);
		if (bytes_have(BYTES_MAP(c->binary_data), c->n_binary_data, c->data[i]->key))
			field_invalid(errs, FIELD_KEY(FIELD(NULL, "data"), c->data[i]->key),
			              c->data[i]->key, "duplicate of key present in binaryData");
		bytes += strlen(c->data[i]->value ? c->data[i]->value : "");
	}
	for (size_t i = 0; i < c->n_binary_data; i++) {
		check_key(errs, FIELD(NULL, "binaryData"), c->binary_data[i]->key);
		bytes += c->binary_data[i]->value.len;
	}
	if (bytes > SIZE_MAX_BYTES)
		field_too_long(errs, FIELD_KEY(NULL, ""), SIZE_MAX_BYTES);
}

static void configmap_validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                                      const struct object *old_obj, errs_t errs)
{
	const CoreV1__ConfigMap *c = OBJECT_MSG(obj, CoreV1__ConfigMap);
	const CoreV1__ConfigMap *old = OBJECT_MSG(old_obj, CoreV1__ConfigMap);

	if (!old->immutable)
		return;
	if (!c->immutable)
		field_forbidden(errs, FIELD(NULL, "immutable"), immutable_text);
	if (!same_map(c->data, c->n_data, old->data, old->n_data))
		field_forbidden(errs, FIELD(NULL, "data"), immutable_text);
	if (!same_map(c->binary_data, c->n_binary_data, old->binary_data, old->n_binary_data))
		field_forbidden(errs, FIELD(NULL, "binaryData"), immutable_text);
}

static void configmap_row(const struct strategy_ctx *ctx, const struct object *obj,
                          struct table_row *r)
{
	const CoreV1__ConfigMap *c = OBJECT_MSG(obj, CoreV1__ConfigMap);

	row_name(r, obj);
	row_int(r, (int64_t)(c->n_data + c->n_binary_data));
	row_age(ctx, r, obj);
}

const struct strategy configmap_strategy = {
    .kind = "ConfigMap",
    .validate = configmap_validate,
    .validate_update = configmap_validate_update,
    .allow_unconditional_update = true,
    .table_row = configmap_row,
};

/* stringData is written over data and never stored. */
static void secret_defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__Secret *s = OBJECT_MSG(obj, CoreV1__Secret);
	struct arena *a = ctx->arena;

	for (size_t i = 0; i < s->n_string_data; i++) {
		const struct string_entry *e = STRINGS(s->string_data)[i];
		size_t j = 0;
		while (j < s->n_data && strcmp(s->data[j]->key, e->key))
			j++;
		if (j == s->n_data) {
			s->data =
			    arena_grow(a, s->data, j * sizeof(void *), (j + 1) * sizeof(void *));
			CoreV1__Secret__DataEntry *d = arena_new(a, CoreV1__Secret__DataEntry);
			protobuf_c_message_init(&core_v1__secret__data_entry__descriptor, d);
			d->key = e->key;
			s->data[s->n_data++] = d;
		}
		SET(s->data[j], value,
		    ((ProtobufCBinaryData){strlen(e->value ? e->value : ""), (uint8_t *)e->value}));
	}
	s->string_data = NULL;
	s->n_string_data = 0;
}

static bool secret_has(const CoreV1__Secret *s, const char *key)
{
	for (size_t i = 0; i < s->n_data; i++)
		if (!strcmp(s->data[i]->key, key))
			return true;
	return false;
}

static void require_key(errs_t errs, const CoreV1__Secret *s, const char *key)
{
	if (!secret_has(s, key))
		field_required(errs, FIELD_KEY(FIELD(NULL, "data"), key), "");
}

static void require_content(errs_t errs, const CoreV1__Secret *s, const char *key)
{
	for (size_t i = 0; i < s->n_data; i++)
		if (!strcmp(s->data[i]->key, key) && s->data[i]->value.len)
			return;
	field_required(errs, FIELD_KEY(FIELD(NULL, "data"), key), "");
}

static void require_json(errs_t errs, const CoreV1__Secret *s, const char *key)
{
	struct err err = ERR_INIT;
	struct jvalue *tree;
	path_t p = FIELD_KEY(FIELD(NULL, "data"), key);

	for (size_t i = 0; i < s->n_data; i++) {
		if (strcmp(s->data[i]->key, key))
			continue;
		if (jvalue_parse(slice_of(s->data[i]->value.data, s->data[i]->value.len),
		                 errs->arena, NULL, &tree, &err))
			field_invalid(errs, p, "<secret contents redacted>",
			              arena_strdup(errs->arena, err.text));
		return;
	}
	field_required(errs, p, "");
}

static void check_secret_type(errs_t errs, const CoreV1__Secret *s)
{
	if (!strcmp(s->type, "kubernetes.io/service-account-token")) {
		static const char name[] = "kubernetes.io/service-account.name";
		const char *value = strings_get(STRINGS(s->metadata->annotations),
		                                s->metadata->n_annotations, name);
		if (!value || !*value)
			field_required(errs, FIELD_KEY(FIELD(NULL, "metadata.annotations"), name),
			               "");
	} else if (!strcmp(s->type, "kubernetes.io/dockercfg")) {
		require_json(errs, s, ".dockercfg");
	} else if (!strcmp(s->type, "kubernetes.io/dockerconfigjson")) {
		require_json(errs, s, ".dockerconfigjson");
	} else if (!strcmp(s->type, "kubernetes.io/basic-auth")) {
		if (!secret_has(s, "username") && !secret_has(s, "password")) {
			require_key(errs, s, "username");
			require_key(errs, s, "password");
		}
	} else if (!strcmp(s->type, "kubernetes.io/ssh-auth")) {
		require_content(errs, s, "ssh-privatekey");
	} else if (!strcmp(s->type, "kubernetes.io/tls")) {
		require_key(errs, s, "tls.crt");
		require_key(errs, s, "tls.key");
	}
}

static void secret_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__Secret *s = OBJECT_MSG(obj, CoreV1__Secret);
	size_t bytes = 0;

	for (size_t i = 0; i < s->n_data; i++) {
		check_key(errs, FIELD(NULL, "data"), s->data[i]->key);
		bytes += s->data[i]->value.len;
	}
	if (bytes > SIZE_MAX_BYTES)
		field_too_long(errs, FIELD(NULL, "data"), SIZE_MAX_BYTES);
	check_secret_type(errs, s);
}

static void secret_validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                                   const struct object *old_obj, errs_t errs)
{
	const CoreV1__Secret *s = OBJECT_MSG(obj, CoreV1__Secret);
	const CoreV1__Secret *old = OBJECT_MSG(old_obj, CoreV1__Secret);

	check_immutable_str(errs, FIELD(NULL, "type"), s->type, old->type);
	if (!old->immutable)
		return;
	if (!s->immutable)
		field_forbidden(errs, FIELD(NULL, "immutable"), immutable_text);
	if (!same_map(s->data, s->n_data, old->data, old->n_data))
		field_forbidden(errs, FIELD(NULL, "data"), immutable_text);
}

static void secret_fields(const struct object *obj, struct arena *a, const char **ret)
{
	ret[0] = OBJECT_MSG(obj, CoreV1__Secret)->type;
}

static void secret_row(const struct strategy_ctx *ctx, const struct object *obj,
                       struct table_row *r)
{
	const CoreV1__Secret *s = OBJECT_MSG(obj, CoreV1__Secret);

	row_name(r, obj);
	row_str(r, s->type);
	row_int(r, (int64_t)s->n_data);
	row_age(ctx, r, obj);
}

const struct strategy secret_strategy = {
    .kind = "Secret",
    .defaults = secret_defaults,
    .validate = secret_validate,
    .validate_update = secret_validate_update,
    .allow_unconditional_update = true,
    .field_names = LIST("type"),
    .field_values = secret_fields,
    .field_error_fmt = "field label not supported: %s",
    .table_row = secret_row,
};

static void account_warnings(const struct strategy_ctx *ctx, const struct object *obj,
                             const struct object *old, struct strategy_warnings *w)
{
	static const char name[] = "kubernetes.io/enforce-mountable-secrets";
	const char *now =
	    strings_get(STRINGS(obj->meta->annotations), obj->meta->n_annotations, name);
	const char *was =
	    old ? strings_get(STRINGS(old->meta->annotations), old->meta->n_annotations, name)
	        : NULL;

	if (now && !was)
		strategy_warn(w,
		              "metadata.annotations[%s]: deprecated in v1.32+; prefer separate "
		              "namespaces to isolate access to mounted secrets",
		              name);
}

static void account_row(const struct strategy_ctx *ctx, const struct object *obj,
                        struct table_row *r)
{
	row_name(r, obj);
	row_age(ctx, r, obj);
}

const struct strategy serviceaccount_strategy = {
    .kind = "ServiceAccount",
    .warnings = account_warnings,
    .allow_unconditional_update = true,
    .table_row = account_row,
};
