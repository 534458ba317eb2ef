/* SPDX-License-Identifier: Apache-2.0 */
/* Query options and their rules (apimachinery pkg/apis/meta/v1/validation,
 * pkg/apis/meta/internalversion/validation). */
#include "apiserver/request/request_info.h"
#include "apiserver/request/status.h"
#include <errno.h>

enum { CAUSES_MAX = 8, MANAGER_BYTES = 128 };

struct faults {
	struct arena *arena;
	struct status_cause *causes;
	size_t n;
};

static void add(struct faults *f, const char *reason, const char *field, const char *message)
{
	if (!f->causes)
		f->causes = arena_array(f->arena, struct status_cause, CAUSES_MAX);
	if (f->n < CAUSES_MAX)
		f->causes[f->n++] = (struct status_cause){reason, message, field};
}

static void add_forbidden(struct faults *f, const char *field, const char *why)
{
	add(f, "FieldValueForbidden", field, arena_printf(f->arena, "Forbidden: %s", why));
}

static void add_unsupported(struct faults *f, const char *field, const char *shown,
                            const char *supported)
{
	add(f, "FieldValueNotSupported", field,
	    arena_printf(f->arena, "Unsupported value: %s: supported values: %s", shown,
	                 supported));
}

/* The 422 of an options kind, or NULL when nothing was found. */
static const struct status *conclude(struct faults *f, const char *kind)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (f->n == 0)
		return NULL;
	buf_printf(&b, "%s.meta.k8s.io \"\" is invalid: %s", kind, f->n > 1 ? "[" : "");
	for (size_t i = 0; i < f->n; i++)
		buf_printf(&b, "%s%s: %s", i ? ", " : "", f->causes[i].field, f->causes[i].message);
	if (f->n > 1)
		buf_byte(&b, ']');
	return status_invalid(f->arena, "meta.k8s.io", kind, "", (const char *)b.data, f->causes,
	                      f->n);
}

static const char *quoted(struct arena *a, const char *s)
{
	return arena_printf(a, "\"%s\"", s);
}

static bool is_printable(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	}
	return true;
}

static void check_manager(struct faults *f, const char *manager)
{
	if (strlen(manager) > MANAGER_BYTES)
		add(f, "FieldValueTooLong", "fieldManager",
		    "Too long: may not be more than 128 bytes");
	if (!is_printable(manager))
		add(f, "FieldValueInvalid", "fieldManager",
		    arena_printf(f->arena,
		                 "Invalid value: %s: should only contain printable characters",
		                 quoted(f->arena, manager)));
}

static void check_dry_run(struct faults *f, const char *const *values, size_t n)
{
	_cleanup_buf_ struct buf shown = BUF_INIT;
	bool known = true;

	buf_byte(&shown, '[');
	for (size_t i = 0; i < n; i++) {
		known = known && strcmp(values[i], "All") == 0;
		buf_printf(&shown, "%s\"%s\"", i ? "," : "", values[i]);
	}
	buf_byte(&shown, ']');
	if (!known)
		add_unsupported(f, "dryRun", (const char *)shown.data, "\"All\"");
}

static void check_field_validation(struct faults *f, const char *value)
{
	if (*value && strcmp(value, "Ignore") != 0 && strcmp(value, "Warn") != 0 &&
	    strcmp(value, "Strict") != 0)
		add_unsupported(f, "fieldValidation", quoted(f->arena, value),
		                "\"\", \"Ignore\", \"Strict\", \"Warn\"");
}

static void check_delete(struct faults *f, const struct request_options *o)
{
	const char *policy = o->propagation_policy;

	if (*policy && o->orphan_dependents != TRISTATE_UNSET) {
		add(f, "FieldValueInvalid", "propagationPolicy",
		    arena_printf(f->arena,
		                 "Invalid value: %s: orphanDependents and deletionPropagation "
		                 "cannot be both set",
		                 quoted(f->arena, policy)));
	} else if (*policy && strcmp(policy, "Foreground") != 0 &&
	           strcmp(policy, "Background") != 0 && strcmp(policy, "Orphan") != 0) {
		add_unsupported(f, "propagationPolicy", quoted(f->arena, policy),
		                "\"Foreground\", \"Background\", \"Orphan\"");
	}
}

static void check_patch(struct faults *f, const struct request *r)
{
	if (r->body_type != MEDIA_APPLY_YAML) {
		if (r->options.force != TRISTATE_UNSET)
			add_forbidden(f, "force", "may not be specified for non-apply patch");
	} else if (!*r->options.field_manager) {
		add(f, "FieldValueRequired", "fieldManager",
		    "Required value: is required for apply patch");
	}
}

const struct status *request_options_check(struct request *r, const char *kind,
                                           const char *const *dry_run, size_t n_dry_run,
                                           const char *field_validation)
{
	struct faults f = {.arena = r->arena};

	if (strcmp(kind, "DeleteOptions") == 0) {
		check_delete(&f, &r->options);
	} else {
		if (strcmp(kind, "PatchOptions") == 0)
			check_patch(&f, r);
		check_manager(&f, r->options.field_manager);
	}
	check_dry_run(&f, dry_run, n_dry_run);
	check_field_validation(&f, field_validation);
	return conclude(&f, kind);
}

static const struct status *check_list(struct request *r)
{
	const struct request_options *o = &r->options;
	const char *match = o->resource_version_match;
	struct faults f = {.arena = r->arena};

	if (*match) {
		if (!*o->resource_version)
			add_forbidden(&f, "resourceVersionMatch",
			              "resourceVersionMatch is forbidden unless resourceVersion "
			              "is provided");
		if (*o->continue_token)
			add_forbidden(
			    &f, "resourceVersionMatch",
			    "resourceVersionMatch is forbidden when continue is provided");
		if (strcmp(match, "Exact") != 0 && strcmp(match, "NotOlderThan") != 0)
			add_unsupported(&f, "resourceVersionMatch", quoted(r->arena, match),
			                "\"Exact\", \"NotOlderThan\", \"\"");
		if (strcmp(match, "Exact") == 0 && strcmp(o->resource_version, "0") == 0)
			add_forbidden(
			    &f, "resourceVersionMatch",
			    "resourceVersionMatch \"exact\" is forbidden for resourceVersion "
			    "\"0\"");
	}
	if (o->send_initial_events != TRISTATE_UNSET)
		add_forbidden(&f, "sendInitialEvents", "sendInitialEvents is forbidden for list");
	return conclude(&f, "ListOptions");
}

static const struct status *check_watch(struct request *r)
{
	const struct request_options *o = &r->options;
	const char *match = o->resource_version_match;
	bool not_older = strcmp(match, "NotOlderThan") == 0;
	struct faults f = {.arena = r->arena};

	if (o->send_initial_events != TRISTATE_UNSET && !not_older)
		add_forbidden(&f, "resourceVersionMatch",
		              "sendInitialEvents requires setting resourceVersionMatch to "
		              "NotOlderThan");
	if (*match) {
		if (o->send_initial_events == TRISTATE_UNSET)
			add_forbidden(&f, "resourceVersionMatch",
			              "resourceVersionMatch is forbidden for watch unless "
			              "sendInitialEvents is provided");
		if (!not_older)
			add_unsupported(&f, "resourceVersionMatch", quoted(r->arena, match),
			                "\"NotOlderThan\"");
		if (*o->continue_token)
			add_forbidden(
			    &f, "resourceVersionMatch",
			    "resourceVersionMatch is forbidden when continue is provided");
	}
	return conclude(&f, "ListOptions");
}

/* --- reading --------------------------------------------------------------------------------- */

static const char *query_text(const struct request *r, const char *name)
{
	const char *v = request_query(r, name);

	return v ? v : "";
}

/* strconv.ParseInt(v, 10, 64) with its error texts; absent leaves *ret alone. */
static const struct status *query_int(struct request *r, const char *name, int64_t *ret)
{
	const char *v = request_query(r, name);
	char *end;

	if (!v)
		return NULL;
	const char *digits = *v == '-' || *v == '+' ? v + 1 : v;
	errno = 0;
	long long n = strtoll(v, &end, 10);
	if (*digits < '0' || *digits > '9' || *end)
		return status_bad_request(r->arena,
		                          "strconv.ParseInt: parsing \"%s\": invalid syntax", v);
	if (errno == ERANGE)
		return status_bad_request(
		    r->arena, "strconv.ParseInt: parsing \"%s\": value out of range", v);
	*ret = n;
	return NULL;
}

static int8_t query_tristate(const struct request *r, const char *name)
{
	if (!request_query(r, name))
		return TRISTATE_UNSET;
	return request_query_bool(r, name) ? TRISTATE_TRUE : TRISTATE_FALSE;
}

static const struct status *read_list(struct request *r)
{
	struct request_options *o = &r->options;

	o->label_selector = query_text(r, "labelSelector");
	o->field_selector = query_text(r, "fieldSelector");
	o->resource_version_match = query_text(r, "resourceVersionMatch");
	o->continue_token = query_text(r, "continue");
	o->allow_watch_bookmarks = request_query_bool(r, "allowWatchBookmarks");
	o->send_initial_events = query_tristate(r, "sendInitialEvents");
	const struct status *fault = query_int(r, "limit", &o->limit);
	return fault ? fault : query_int(r, "timeoutSeconds", &o->timeout_seconds);
}

static void read_field_validation(struct request_options *o, const char *value)
{
	if (strcmp(value, "Strict") == 0)
		o->field_validation = FIELD_VALIDATION_STRICT;
	else if (strcmp(value, "Ignore") == 0)
		o->field_validation = FIELD_VALIDATION_IGNORE;
	else
		o->field_validation = FIELD_VALIDATION_WARN;
}

static const struct status *read_write(struct request *r, const char *kind)
{
	struct request_options *o = &r->options;
	const char *dry_run[CAUSES_MAX];
	const char *validation = query_text(r, "fieldValidation");
	size_t n = 0;

	for (size_t i = 0; i < r->n_query && n < CAUSES_MAX; i++) {
		if (strcmp(r->query[i].name, "dryRun") == 0)
			dry_run[n++] = r->query[i].value;
	}
	o->dry_run = n > 0;
	o->field_manager = query_text(r, "fieldManager");
	o->force = query_tristate(r, "force");
	read_field_validation(o, validation);
	return request_options_check(r, kind, dry_run, n, validation);
}

static const struct status *read_delete(struct request *r)
{
	struct request_options *o = &r->options;

	o->propagation_policy = query_text(r, "propagationPolicy");
	o->orphan_dependents = query_tristate(r, "orphanDependents");
	o->ignore_store_read_error =
	    request_query_bool(r, "ignoreStoreReadErrorWithClusterBreakingPotential");
	const struct status *fault = query_int(r, "gracePeriodSeconds", &o->grace_period_seconds);
	if (fault || r->body.len)
		return fault; /* options in the body replace these */
	return read_write(r, "DeleteOptions");
}

static void set_defaults(struct request *r)
{
	r->options = (struct request_options){
	    .label_selector = "",
	    .field_selector = "",
	    .resource_version = query_text(r, "resourceVersion"),
	    .resource_version_match = "",
	    .continue_token = "",
	    .timeout_seconds = -1,
	    .watch = r->verb == VERB_WATCH,
	    .send_initial_events = TRISTATE_UNSET,
	    .field_manager = "",
	    .force = TRISTATE_UNSET,
	    .grace_period_seconds = -1,
	    .propagation_policy = "",
	    .orphan_dependents = TRISTATE_UNSET,
	    .include_object = query_text(r, "includeObject"),
	    .no_headers = request_query_bool(r, "noHeaders"),
	};
}

const struct status *request_options_parse(struct request *r)
{
	const struct status *fault = NULL;

	set_defaults(r);
	switch (r->verb) {
	case VERB_LIST:
		fault = read_list(r);
		return fault ? fault : check_list(r);
	case VERB_WATCH:
		fault = read_list(r);
		return fault ? fault : check_watch(r);
	case VERB_CREATE:
		return read_write(r, "CreateOptions");
	case VERB_UPDATE:
		return read_write(r, "UpdateOptions");
	case VERB_PATCH:
		return read_write(r, "PatchOptions");
	case VERB_DELETE:
		return read_delete(r);
	case VERB_DELETECOLLECTION:
		fault = read_list(r);
		if (!fault)
			fault = check_list(r);
		return fault ? fault : read_delete(r);
	default:
		return NULL;
	}
}
