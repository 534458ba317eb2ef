/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/metadata.h"

enum { GENERATED_BASE_MAX = 63 - 5, ADDED_BYTES_MAX = 4096 };

static void check_owner(errs_t errs, path_t p, const MetaV1__OwnerReference *o)
{
	struct group_version gv = group_version_split(errs->arena, o->api_version);

	if (!*gv.version || strchr(gv.version, '/'))
		field_invalid(errs, FIELD(p, "apiVersion"), o->api_version,
		              "version must not be empty");
	if (!*o->kind)
		field_invalid(errs, FIELD(p, "kind"), "", "must not be empty");
	if (!*o->name)
		field_invalid(errs, FIELD(p, "name"), "", "must not be empty");
	if (!*o->uid)
		field_invalid(errs, FIELD(p, "uid"), "", "must not be empty");
	if (!strcmp(o->api_version, "v1") && !strcmp(o->kind, "Event"))
		field_invalid_json(errs, p, json_of(errs, o),
		                   "/v1, Kind=Event is disallowed from being an owner");
}

static void check_owners(errs_t errs, path_t p, const MetaV1__ObjectMeta *m)
{
	const char *controller = NULL;

	for (size_t i = 0; i < m->n_owner_references; i++) {
		const MetaV1__OwnerReference *o = m->owner_references[i];
		check_owner(errs, p, o);
		if (!o->has_controller || !o->controller)
			continue;
		if (controller)
			field_add(errs, FIELD_INVALID, p, json_of(errs, o),
			          "Only one reference can have Controller set to true. Found "
			          "\"true\" in references for %s and %s",
			          controller, o->name);
		else
			controller = o->name;
	}
}

static void check_finalizers(errs_t errs, path_t p, const MetaV1__ObjectMeta *m)
{
	static const char *const standard[] = {"kubernetes", "orphan", "foregroundDeletion", NULL};
	bool orphan = false, foreground = false;

	for (size_t i = 0; i < m->n_finalizers; i++) {
		const char *f = m->finalizers[i];
		if (check_name(errs, p, f, names_qualified) && !strchr(f, '/') &&
		    !list_has(standard, f))
			field_invalid(errs, FIELD_INDEX(p, i), f,
			              "name is neither a standard finalizer name nor is it fully "
			              "qualified");
		orphan |= !strcmp(f, "orphan");
		foreground |= !strcmp(f, "foregroundDeletion");
	}
	if (orphan && foreground)
		field_invalid_json(errs, p, json_of_strings(errs, m->finalizers, m->n_finalizers),
		                   "finalizer orphan and foregroundDeletion cannot be both set");
}

/* A prefix may end in dashes: the letters that follow make the name valid. */
static void check_generate_name(errs_t errs, path_t p, const char *name, name_syntax *syntax)
{
	const char *msgs[NAMES_MAX];
	size_t len = strlen(name);
	char *masked = arena_strdup(errs->arena, name);

	if (len > 1 && masked[len - 1] == '-')
		masked[len - 1] = 'a';
	size_t n = syntax(masked, errs->arena, msgs);
	for (size_t i = 0; i < n; i++)
		field_invalid(errs, p, name, msgs[i]);
}

static void check_maps(errs_t errs, path_t p, const MetaV1__ObjectMeta *m)
{
	check_labels(errs, FIELD(p, "labels"), STRINGS(m->labels), m->n_labels);
	check_annotations(errs, FIELD(p, "annotations"), STRINGS(m->annotations), m->n_annotations);
	check_owners(errs, FIELD(p, "ownerReferences"), m);
}

void metadata_check(errs_t errs, path_t p, const MetaV1__ObjectMeta *m, bool namespaced,
                    name_syntax *syntax)
{
	if (!syntax)
		syntax = names_dns1123_subdomain;
	if (*m->generate_name)
		check_generate_name(errs, FIELD(p, "generateName"), m->generate_name, syntax);
	if (!*m->name)
		field_required(errs, FIELD(p, "name"), "name or generateName is required");
	else
		check_name(errs, FIELD(p, "name"), m->name, syntax);
	if (!namespaced && *m->namespace_)
		field_forbidden(errs, FIELD(p, "namespace"), "not allowed on this type");
	else if (namespaced && check_required(errs, FIELD(p, "namespace"), m->namespace_))
		check_name(errs, FIELD(p, "namespace"), m->namespace_, names_dns1123_label);
	check_nonneg(errs, FIELD(p, "generation"), m->generation);
	check_maps(errs, p, m);
	check_finalizers(errs, FIELD(p, "finalizers"), m);
}

static void check_no_new_finalizers(errs_t errs, path_t p, const MetaV1__ObjectMeta *m,
                                    const MetaV1__ObjectMeta *old)
{
	struct index had = INDEX_IN(errs->arena);
	const char *added = NULL;

	for (size_t i = 0; i < old->n_finalizers; i++)
		index_add(&had, old->finalizers[i], 0);
	/* One that is refused is enough to name when there are very many. */
	for (size_t i = 0; i < m->n_finalizers && (!added || strlen(added) < ADDED_BYTES_MAX); i++)
		if (!index_has(&had, m->finalizers[i]))
			added = arena_printf(errs->arena, "%s%s%s", added ? added : "",
			                     added ? ", " : "",
			                     field_quote(errs->arena, m->finalizers[i]));
	if (added)
		field_add(
		    errs, FIELD_FORBIDDEN, p, NULL,
		    "no new finalizers can be added if the object is being deleted, found new "
		    "finalizers []string{%s}",
		    added);
}

void metadata_check_update(errs_t errs, path_t p, const MetaV1__ObjectMeta *m,
                           const MetaV1__ObjectMeta *old)
{
	if (m->deletion_timestamp)
		check_no_new_finalizers(errs, FIELD(p, "finalizers"), m, old);
	if (!*m->resource_version)
		field_invalid(errs, FIELD(p, "resourceVersion"), "",
		              "must be specified for an update");
	if (m->generation < old->generation)
		field_invalid_int(errs, FIELD(p, "generation"), m->generation,
		                  "must not be decremented");
	check_immutable_str(errs, FIELD(p, "name"), m->name, old->name);
	check_immutable_str(errs, FIELD(p, "namespace"), m->namespace_, old->namespace_);
	check_immutable_str(errs, FIELD(p, "uid"), m->uid, old->uid);
	check_immutable_msg(errs, FIELD(p, "deletionTimestamp"), m->deletion_timestamp,
	                    old->deletion_timestamp);
	if (m->has_deletion_grace_period_seconds != old->has_deletion_grace_period_seconds ||
	    m->deletion_grace_period_seconds != old->deletion_grace_period_seconds)
		field_invalid_int(errs, FIELD(p, "deletionGracePeriodSeconds"),
		                  m->deletion_grace_period_seconds, "field is immutable");
	check_maps(errs, p, m);
}

void metadata_generate_name(const struct strategy_ctx *ctx, MetaV1__ObjectMeta *m)
{
	char suffix[6] = "";

	if (!*m->generate_name || *m->name || !ctx->name_suffix)
		return;
	ctx->name_suffix(ctx->arg, suffix);
	m->name =
	    arena_printf(ctx->arena, "%.*s%.5s", GENERATED_BASE_MAX, m->generate_name, suffix);
}

void metadata_prepare_create(const struct strategy_ctx *ctx, MetaV1__ObjectMeta *m)
{
	char uid[37] = "";

	m->deletion_timestamp = NULL;
	SET(m, deletion_grace_period_seconds, 0);
	m->has_deletion_grace_period_seconds = 0;
	m->self_link = (char *)"";
	SET(m, generation, 0);
	if (ctx->new_uid) {
		ctx->new_uid(ctx->arg, uid);
		m->uid = arena_strdup(ctx->arena, uid);
	}
	if (m->creation_timestamp) {
		SET(m->creation_timestamp, seconds, ctx->now_sec);
		SET(m->creation_timestamp, nanos, 0);
	}
}

void metadata_prepare_update(MetaV1__ObjectMeta *m, const MetaV1__ObjectMeta *old)
{
	SET(m, generation, old->generation);
	m->self_link = (char *)"";
	if (!*m->uid)
		m->uid = old->uid;
	if (old->creation_timestamp && m->creation_timestamp)
		m->creation_timestamp = old->creation_timestamp;
	if (old->deletion_timestamp)
		m->deletion_timestamp = old->deletion_timestamp;
	if (old->has_deletion_grace_period_seconds && !m->has_deletion_grace_period_seconds)
		SET(m, deletion_grace_period_seconds, old->deletion_grace_period_seconds);
}
