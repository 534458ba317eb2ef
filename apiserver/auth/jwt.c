/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/auth/jwt.h"
#include "common/codec/base64.h"

static int malformed(struct err *err, const char *what)
{
	return err_set(err, ERR_UNAUTHORIZED, "malformed token: %s", what);
}

static int decode_object(struct slice part, struct arena *a, struct jvalue **ret, struct err *err)
{
	struct slice json;

	if (base64url_decode(part, a, &json, NULL) < 0)
		return malformed(err, "not base64url");
	if (jvalue_parse(json, a, NULL, ret, NULL) < 0 || (*ret)->kind != JVALUE_OBJECT)
		return malformed(err, "not a JSON object");
	return 0;
}

/* Text without NUL, so that it can be compared as a C string. */
static bool plain(const struct jvalue *v)
{
	return v->kind == JVALUE_STRING && !memchr(v->str, 0, v->n);
}

static int text_of(const struct jvalue *obj, const char *key, const char **ret, struct err *err)
{
	const struct jvalue *v = jvalue_get(obj, key);

	*ret = "";
	if (!v)
		return 0;
	if (!plain(v))
		return malformed(err, key);
	*ret = v->str;
	return 0;
}

/* Seconds since 1970, perhaps with a fraction. */
static int time_of(const struct jvalue *obj, const char *key, int64_t *ret, struct err *err)
{
	const struct jvalue *v = jvalue_get(obj, key);

	*ret = 0;
	if (!v)
		return 0;
	if (v->kind == JVALUE_INT)
		*ret = v->i;
	else if (v->kind == JVALUE_DOUBLE && v->d > 0 && v->d < 1e15)
		*ret = (int64_t)v->d;
	else
		return malformed(err, key);
	return 0;
}

static int audiences_of(const struct jvalue *claims, struct arena *a, struct jwt *ret,
                        struct err *err)
{
	const struct jvalue *v = jvalue_get(claims, "aud");
	size_t n = !v ? 0 : v->kind == JVALUE_ARRAY ? v->n : 1;
	const char **list = arena_array(a, const char *, n);

	for (size_t i = 0; i < n; i++) {
		const struct jvalue *item = v->kind == JVALUE_ARRAY ? v->items[i] : v;

		if (!plain(item))
			return malformed(err, "aud");
		list[i] = item->str;
	}
	ret->audiences = list;
	ret->n_audiences = n;
	return 0;
}

static int read_claims(struct jwt *t, struct arena *a, struct err *err)
{
	int r = text_of(t->claims, "iss", &t->issuer, err);

	if (r == 0)
		r = text_of(t->claims, "sub", &t->subject, err);
	if (r == 0)
		r = text_of(t->claims, "jti", &t->id, err);
	if (r == 0)
		r = time_of(t->claims, "exp", &t->expires_s, err);
	if (r == 0)
		r = time_of(t->claims, "nbf", &t->not_before_s, err);
	if (r == 0)
		r = time_of(t->claims, "iat", &t->issued_s, err);
	return r < 0 ? r : audiences_of(t->claims, a, t, err);
}

int jwt_parse(struct slice token, struct arena *a, struct jwt *ret, struct err *err)
{
	const uint8_t *dot1, *dot2, *end = token.data + token.len;
	struct jvalue *header, *claims;
	struct jwt t = {.input = token};
	int r;

	if (token.len > JWT_BYTES_MAX)
		return malformed(err, "too long");
	dot1 = token.len ? memchr(token.data, '.', token.len) : NULL;
	dot2 = dot1 ? memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1)) : NULL;
	if (!dot2 || memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)))
		return malformed(err, "not three parts");
	t.input.len = (size_t)(dot2 - token.data);
	r = decode_object(slice_of(token.data, (size_t)(dot1 - token.data)), a, &header, err);
	if (r == 0)
		r = decode_object(slice_of(dot1 + 1, (size_t)(dot2 - dot1 - 1)), a, &claims, err);
	if (r < 0)
		return r;
	if (base64url_decode(slice_of(dot2 + 1, (size_t)(end - dot2 - 1)), a, &t.signature, NULL) <
	    0)
		return malformed(err, "signature");
	if (jvalue_get(header, "crit"))
		return malformed(err, "critical extensions");
	t.claims = claims;
	r = text_of(header, "alg", &t.alg, err);
	if (r == 0)
		r = text_of(header, "kid", &t.kid, err);
	if (r == 0)
		r = read_claims(&t, a, err);
	if (r == 0)
		*ret = t;
	return r;
}
