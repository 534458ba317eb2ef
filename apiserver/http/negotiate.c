/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/http/negotiate.h"
#include "apiserver/request/status.h"

static const char all_types[] =
    "application/json, application/yaml, application/vnd.kubernetes.protobuf";

static const enum media_type formats[] = {MEDIA_JSON, MEDIA_YAML, MEDIA_PROTOBUF};

/* --- Accept ---------------------------------------------------------------------------------- */

static char *trim(char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	for (size_t n = strlen(s); n && (s[n - 1] == ' ' || s[n - 1] == '\t'); n--)
		s[n - 1] = 0;
	return s;
}

static char *next_part(char **rest, char at)
{
	char *head = *rest;
	char *end = head ? strchr(head, at) : NULL;

	if (end)
		*end = 0;
	*rest = end ? end + 1 : NULL;
	return head;
}

static void take_parameter(struct accept_clause *c, char *text)
{
	char *name = trim(next_part(&text, '='));
	char *value = text ? trim(text) : name + strlen(name);
	size_t n = strlen(value);

	if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
		value[n - 1] = 0;
		value++;
	}
	if (strcmp(name, "q") == 0) {
		char *end;
		double q = strtod(value, &end);
		c->q = end != value && !*end ? q : 1;
	} else if (strcmp(name, "as") == 0) {
		c->as = value;
	} else if (strcmp(name, "g") == 0) {
		c->group = value;
	} else if (strcmp(name, "v") == 0) {
		c->version = value;
	} else if (strcmp(name, "stream") == 0) {
		c->stream = value;
	} else if (strcmp(name, "profile") == 0) {
		c->profile = value;
	}
}

static bool parse_clause(char *text, struct accept_clause *c)
{
	char *type = trim(next_part(&text, ';'));

	*c = (struct accept_clause){
	    .q = 1, .as = "", .group = "", .version = "", .stream = "", .profile = ""};
	while (text)
		take_parameter(c, next_part(&text, ';'));
	if (strcmp(type, "*") == 0) {
		c->type = c->subtype = "*";
		return true;
	}
	char *slash = strchr(type, '/');
	if (!slash || strchr(slash + 1, '/'))
		return false;
	*slash = 0;
	c->type = trim(type);
	c->subtype = trim(slash + 1);
	return true;
}

static bool is_better(const struct accept_clause *a, const struct accept_clause *b)
{
	bool wild_a = *a->type == '*', wild_b = *b->type == '*';

	if (a->q != b->q)
		return a->q > b->q;
	if (wild_a != wild_b)
		return wild_b;
	return *a->subtype != '*' && *b->subtype == '*';
}

size_t accept_parse(struct arena *a, const char *header,
                    struct accept_clause ret[ACCEPT_CLAUSES_MAX])
{
	char *rest = arena_strdup(a, header);
	size_t n = 0;

	while (rest && n < ACCEPT_CLAUSES_MAX) {
		struct accept_clause c;
		if (!parse_clause(next_part(&rest, ','), &c))
			continue;
		size_t at = n++;
		for (; at && is_better(&c, &ret[at - 1]); at--)
			ret[at] = ret[at - 1];
		ret[at] = c;
	}
	return n;
}

bool accept_clause_takes(const struct accept_clause *c, const char *type, const char *subtype)
{
	if (*c->type == '*' && *c->subtype == '*')
		return true;
	return strcmp(c->type, type) == 0 && strcmp(c->subtype, subtype) == 0;
}

static const char *subtype_of(enum media_type t)
{
	return media_type_name(t) + strlen("application/");
}

/* Which transformations there are, and in what. */
static bool take_transformation(const struct accept_clause *c, enum media_type format,
                                struct accept *ret)
{
	ret->as = AS_OBJECT;
	ret->as_version = "";
	if (!*c->as && !*c->group && !*c->version)
		return true;
	if (strcmp(c->group, "meta.k8s.io") != 0 ||
	    (strcmp(c->version, "v1") != 0 && strcmp(c->version, "v1beta1") != 0))
		return false;
	ret->as_version = c->version;
	if (strcmp(c->as, "Table") == 0) {
		ret->as = AS_TABLE;
		return format != MEDIA_PROTOBUF;
	}
	if (strcmp(c->as, "PartialObjectMetadata") == 0)
		ret->as = AS_PARTIAL_METADATA;
	else if (strcmp(c->as, "PartialObjectMetadataList") == 0)
		ret->as = AS_PARTIAL_METADATA_LIST;
	else
		return false;
	return true;
}

static bool take_clause(const struct accept_clause *c, struct accept *ret)
{
	if (*c->stream && strcmp(c->stream, "watch") != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (!accept_clause_takes(c, "application", subtype_of(formats[i])) ||
		    !take_transformation(c, formats[i], ret))
			continue;
		ret->format = formats[i];
		ret->stream_watch = *c->stream;
		return true;
	}
	return false;
}

static bool wants_pretty(const struct request *r)
{
	const char *pretty = request_query(r, "pretty");

	if (pretty && *pretty)
		return strcmp(pretty, "1") == 0 || strcasecmp(pretty, "true") == 0 ||
		       strcmp(pretty, "t") == 0 || strcmp(pretty, "T") == 0;
	return strncmp(r->user_agent, "curl", 4) == 0 || strncmp(r->user_agent, "Wget", 4) == 0 ||
	       strncmp(r->user_agent, "Mozilla/5.0", 11) == 0;
}

/* False: nothing of what the client takes is there; *ret_typed tells whether at least the media
 * type is known (the parameters are then at fault). */
static bool negotiate_accept(struct request *r, bool *ret_typed)
{
	const char *header = request_header(r, "accept");
	struct accept_clause clauses[ACCEPT_CLAUSES_MAX];

	*ret_typed = false;
	if (!header || !*header)
		return true;
	size_t n = accept_parse(r->arena, header, clauses);
	for (size_t i = 0; i < n; i++) {
		if (take_clause(&clauses[i], &r->accept))
			return true;
		for (size_t f = 0; f < ARRAY_LEN(formats); f++)
			*ret_typed = *ret_typed || accept_clause_takes(&clauses[i], "application",
			                                               subtype_of(formats[f]));
	}
	r->accept = (struct accept){.format = MEDIA_JSON, .as_version = ""};
	return false;
}

/* --- bodies ---------------------------------------------------------------------------------- */

static enum media_type type_of_body(const struct request *r)
{
	static const enum media_type all[] = {MEDIA_JSON,        MEDIA_YAML,
	                                      MEDIA_PROTOBUF,    MEDIA_JSON_PATCH,
	                                      MEDIA_MERGE_PATCH, MEDIA_STRATEGIC_PATCH,
	                                      MEDIA_APPLY_YAML};
	const char *header = request_header(r, "content-type");

	if (!header || !*header)
		return MEDIA_NONE;
	char *type = arena_strdup(r->arena, header);
	char *rest = type;
	type = trim(next_part(&rest, ';'));
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (strcasecmp(type, media_type_name(all[i])) == 0)
			return all[i];
	}
	return MEDIA_UNKNOWN;
}

static bool is_patch_type(enum media_type t)
{
	return t == MEDIA_JSON_PATCH || t == MEDIA_MERGE_PATCH || t == MEDIA_STRATEGIC_PATCH ||
	       t == MEDIA_APPLY_YAML;
}

static bool is_object_type(enum media_type t)
{
	return t == MEDIA_NONE || t == MEDIA_JSON || t == MEDIA_YAML || t == MEDIA_PROTOBUF;
}

static const struct status *check_body(struct request *r)
{
	switch (r->verb) {
	case VERB_CREATE:
	case VERB_UPDATE:
		return is_object_type(r->body_type) ? NULL
		                                    : status_unsupported_media(r->arena, all_types);
	case VERB_DELETE:
	case VERB_DELETECOLLECTION:
		return is_object_type(r->body_type) || !r->body.len
		           ? NULL
		           : status_unsupported_media(r->arena, all_types);
	default:
		return NULL;
	}
}

/* --- together -------------------------------------------------------------------------------- */

/* Streams and logs have types of their own. */
static bool is_negotiated(const struct request *r)
{
	static const char *const streams[] = {"exec", "attach", "portforward", "proxy", "log"};

	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		if (strcmp(r->subresource, streams[i]) == 0)
			return false;
	}
	return r->is_resource;
}

static const struct status *check_accept(struct request *r, bool found, bool typed)
{
	if (!found && !typed) {
		struct status *s =
		    status_new(r->arena, 406, "NotAcceptable",
		               "406: Not Acceptable\n\nAvailable representations: %s", all_types);
		status_details(s, NULL, NULL, NULL);
		return s;
	}
	if (!found || (r->verb == VERB_WATCH && r->accept.format == MEDIA_YAML))
		return status_not_acceptable(r->arena, all_types);
	if (r->verb == VERB_LIST && r->accept.as == AS_PARTIAL_METADATA)
		return status_new(r->arena, 406, "NotAcceptable",
		                  "you requested PartialObjectMetadata, but the requested object "
		                  "is a list");
	if (r->verb != VERB_LIST && r->verb != VERB_WATCH &&
	    r->accept.as == AS_PARTIAL_METADATA_LIST)
		return status_new(r->arena, 406, "NotAcceptable",
		                  "you requested PartialObjectMetadataList, but the requested "
		                  "object is not a list");
	return NULL;
}

const struct status *negotiate(struct request *r, bool body_too_large, uint64_t limit_bytes)
{
	bool typed;

	r->accept = (struct accept){.format = MEDIA_JSON, .as_version = ""};
	bool found = negotiate_accept(r, &typed);
	r->accept.pretty = wants_pretty(r);
	r->body_type = type_of_body(r);
	if (!is_negotiated(r))
		return NULL;
	if (strcmp(r->method, "HEAD") == 0)
		return status_method_not_allowed(r->arena);
	if (r->verb == VERB_PATCH && !is_patch_type(r->body_type))
		return status_patch_media(r->arena, all_types);
	const struct status *fault = check_accept(r, found, typed);
	if (!fault)
		fault = check_body(r);
	if (!fault && body_too_large)
		fault = status_too_large(r->arena, arena_printf(r->arena, "limit is %llu",
		                                                (unsigned long long)limit_bytes));
	return fault;
}
