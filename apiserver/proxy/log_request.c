/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/proxy/log_request.h"

#include <string.h>

#include "common/codec/rfc3339.h"

struct parser {
	const struct request *req;
	struct arena *a;
	struct buf query;
	struct status_cause causes[8];
	size_t n_causes;
	const struct status *bad;
};

static void add_query(struct parser *p, const char *name, const char *value)
{
	buf_printf(&p->query, "%s%s=", p->query.len ? "&" : "", name);
	for (; *value; value++) {
		if (strchr(" %&+#=?", *value))
			buf_printf(&p->query, "%%%02X", (unsigned char)*value);
		else
			buf_byte(&p->query, (uint8_t)*value);
	}
}

static void add_cause(struct parser *p, const char *reason, const char *field, const char *message)
{
	if (p->n_causes < ARRAY_LEN(p->causes))
		p->causes[p->n_causes++] = (struct status_cause){reason, message, field};
}

/* strconv.ParseBool's words for true; an empty value counts as true, as in Go's query decoding. */
static bool flag(struct parser *p, const char *name)
{
	const char *v = request_query(p->req, name);
	static const char *const yes[] = {"", "1", "t", "T", "true", "TRUE", "True"};
	for (size_t i = 0; v && i < ARRAY_LEN(yes); i++)
		if (!strcmp(v, yes[i]))
			return true;
	return false;
}

static void pass_flag(struct parser *p, const char *name)
{
	if (flag(p, name))
		add_query(p, name, "true");
}

static void pass_number(struct parser *p, const char *name, int64_t min, const char *why)
{
	const char *v = request_query(p->req, name);
	char *end;
	if (!v || !*v)
		return;
	long long n = strtoll(v, &end, 10);
	if (*end) {
		p->bad =
		    status_bad_request(p->a, "strconv.ParseInt: parsing \"%s\": invalid syntax", v);
		return;
	}
	if (n < min)
		add_cause(p, "FieldValueInvalid", name,
		          arena_printf(p->a, "Invalid value: %lld: %s", n, why));
	add_query(p, name, v);
}

static void pass_time(struct parser *p)
{
	const char *v = request_query(p->req, "sinceTime");
	struct time_spec t;
	struct err err = ERR_INIT;
	if (!v || !*v)
		return;
	if (rfc3339_parse(slice_str(v), &t, &err))
		p->bad = status_bad_request(p->a, "%s", err.text);
	if (request_query(p->req, "sinceSeconds"))
		add_cause(
		    p, "FieldValueForbidden", "sinceSeconds",
		    "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified");
	add_query(p, "sinceTime", v);
}

static const struct status *refuse(struct parser *p)
{
	const struct request *req = p->req;
	const char *list = "";
	for (size_t i = 0; i < p->n_causes; i++)
		list = arena_printf(p->a, "%s%s%s: %s", list, i ? ", " : "", p->causes[i].field,
		                    p->causes[i].message);
	if (p->n_causes > 1)
		list = arena_printf(p->a, "[%s]", list);
	struct status_cause *causes =
	    arena_memdup(p->a, p->causes, p->n_causes * sizeof(*p->causes));
	return status_invalid(
	    p->a, "", "PodLogOptions", req->name,
	    arena_printf(p->a, "PodLogOptions \"%s\" is invalid: %s", req->name, list), causes,
	    p->n_causes);
}

const struct status *log_request_parse(const struct request *req, struct log_request *ret)
{
	struct parser p = {.req = req, .a = req->arena};
	const char *container = request_query(req, "container");
	pass_flag(&p, "follow");
	pass_flag(&p, "previous");
	pass_flag(&p, "timestamps");
	pass_number(&p, "sinceSeconds", 1, "must be greater than 0");
	pass_time(&p);
	pass_number(&p, "tailLines", 0, "must be greater than or equal to 0");
	pass_number(&p, "limitBytes", 1, "must be greater than 0");
	*ret = (struct log_request){
	    .container = container ? container : "",
	    .insecure = flag(&p, "insecureSkipTLSVerifyBackend"),
	    .query = p.query.len ? arena_strndup(p.a, p.query.data, p.query.len) : "",
	};
	buf_deinit(&p.query);
	return p.bad ? p.bad : p.n_causes ? refuse(&p) : NULL;
}
