/* SPDX-License-Identifier: Apache-2.0 */
/* certificates.k8s.io: CertificateSigningRequests. */
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"
#include "common/codec/base64.h"
#include "common/codec/duration.h"
#include "common/codec/json_writer.h"

enum { EXPIRATION_MIN_S = 600 };

static const char *const usages[] = {"any",
                                     "cert sign",
                                     "client auth",
                                     "code signing",
                                     "content commitment",
                                     "crl sign",
                                     "data encipherment",
                                     "decipher only",
                                     "digital signature",
                                     "email protection",
                                     "encipher only",
                                     "ipsec end system",
                                     "ipsec tunnel",
                                     "ipsec user",
                                     "key agreement",
                                     "key encipherment",
                                     "microsoft sgc",
                                     "netscape sgc",
                                     "ocsp signing",
                                     "s/mime",
                                     "server auth",
                                     "signing",
                                     "timestamping",
                                     NULL};

/* The server says who asks; the client cannot. */
static void prepare_create(const struct strategy_ctx *ctx, struct object *obj)
{
	CertificatesV1__CertificateSigningRequestSpec *s =
	    OBJECT_MSG(obj, CertificatesV1__CertificateSigningRequest)->spec;
	const struct strategy_user *u = ctx->user;
	struct arena *a = ctx->arena;

	s->username = arena_strdup(a, u && u->name ? u->name : "");
	s->uid = arena_strdup(a, u && u->uid ? u->uid : "");
	s->n_groups = u ? u->n_groups : 0;
	s->groups = arena_array(a, char *, s->n_groups + 1);
	for (size_t i = 0; i < s->n_groups; i++)
		s->groups[i] = arena_strdup(a, u->groups[i]);
	s->n_extra = u ? u->n_extra : 0;
	s->extra = arena_array(a, CertificatesV1__CertificateSigningRequestSpec__ExtraEntry *,
	                       s->n_extra + 1);
	for (size_t i = 0; i < s->n_extra; i++) {
		const struct strategy_user_extra *e = &u->extra[i];
		CertificatesV1__CertificateSigningRequestSpec__ExtraEntry *entry =
		    arena_new(a, CertificatesV1__CertificateSigningRequestSpec__ExtraEntry);
		protobuf_c_message_init(
		    &certificates_v1__certificate_signing_request_spec__extra_entry__descriptor,
		    entry);
		entry->key = arena_strdup(a, e->key);
		entry->value = arena_new(a, CertificatesV1__ExtraValue);
		protobuf_c_message_init(&certificates_v1__extra_value__descriptor, entry->value);
		entry->value->n_items = e->n_values;
		entry->value->items = arena_array(a, char *, e->n_values + 1);
		for (size_t j = 0; j < e->n_values; j++)
			entry->value->items[j] = arena_strdup(a, e->values[j]);
		s->extra[i] = entry;
	}
}

static void prepare_update(const struct strategy_ctx *ctx, struct object *obj,
                           const struct object *old)
{
	OBJECT_MSG(obj, CertificatesV1__CertificateSigningRequest)->spec =
	    OBJECT_MSG(old, CertificatesV1__CertificateSigningRequest)->spec;
}

/* One PEM block that holds a DER sequence. NULL, or what is wrong. */
static const char *request_error(struct arena *a, ProtobufCBinaryData request)
{
	static const char begin[] = "-----BEGIN CERTIFICATE REQUEST-----";
	static const char end[] = "-----END CERTIFICATE REQUEST-----";
	const char *text = arena_strndup(a, request.data, request.len);
	const char *from = strstr(text, begin), *to = from ? strstr(from, end) : NULL;
	struct slice der;

	if (!from || !to)
		return "PEM block type must be CERTIFICATE REQUEST";
	from += strlen(begin);
	if (base64_decode(slice_of(from, (size_t)(to - from)), a, &der, NULL) || der.len < 2 ||
	    der.data[0] != 0x30)
		return "asn1: structure error";
	return NULL;
}

static const char *base64_text(errs_t errs, ProtobufCBinaryData b)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	base64_encode(slice_of(b.data, b.len), &out);
	return arena_printf(errs->arena, "\"%.*s\"", (int)out.len,
	                    out.len ? (const char *)out.data : "");
}

static void check_signer(errs_t errs, path_t p, const char *name)
{
	const char *slash = strchr(name, '/');
	const char *msgs[NAMES_MAX];

	if (!*name) {
		field_required(errs, p, "");
		return;
	}
	if (!slash || strchr(slash + 1, '/')) {
		field_invalid(errs, p, name,
		              "must be a fully qualified domain and path of the form "
		              "'example.com/signer-name'");
		return;
	}
	const char *domain = arena_strndup(errs->arena, name, (size_t)(slash - name));
	if (!strchr(domain, '.') || names_dns1123_subdomain(domain, errs->arena, msgs) ||
	    names_dns1123_subdomain(slash + 1, errs->arena, msgs))
		field_invalid(errs, p, name,
		              "must be a fully qualified domain and path of the form "
		              "'example.com/signer-name'");
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CertificatesV1__CertificateSigningRequestSpec *s =
	    OBJECT_MSG(obj, CertificatesV1__CertificateSigningRequest)->spec;
	path_t p = FIELD(NULL, "spec");
	const char *error = request_error(errs->arena, s->request);

	if (error)
		field_invalid_json(errs, FIELD(p, "request"), base64_text(errs, s->request), error);
	if (!s->n_usages)
		field_required(errs, FIELD(p, "usages"), "");
	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < s->n_usages; i++) {
		path_t at = FIELD_INDEX(FIELD(p, "usages"), i);
		if (!check_enum(errs, at, s->usages[i], usages))
			continue;
		if (!index_add(&seen, s->usages[i], 0)) {
			field_duplicate(errs, at, s->usages[i]);
		}
	}
	check_signer(errs, FIELD(p, "signerName"), s->signer_name);
	if (!strcmp(s->signer_name, "kubernetes.io/legacy-unknown"))
		field_invalid(errs, FIELD(p, "signerName"), s->signer_name,
		              "the legacy signerName is not allowed via this API version");
	if (s->has_expiration_seconds && s->expiration_seconds < EXPIRATION_MIN_S)
		field_invalid_int(errs, FIELD(p, "expirationSeconds"), s->expiration_seconds,
		                  "may not specify a duration less than 600 seconds (10 minutes)");
}

static bool keeps(const CertificatesV1__CertificateSigningRequestStatus *s, const char *type)
{
	for (size_t i = 0; i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, type))
			return true;
	return false;
}

static void check_conditions(errs_t errs, const CertificatesV1__CertificateSigningRequestStatus *s,
                             const CertificatesV1__CertificateSigningRequestStatus *old)
{
	path_t p = FIELD(NULL, "status.conditions");

	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < s->n_conditions; i++) {
		const CertificatesV1__CertificateSigningRequestCondition *c = s->conditions[i];
		path_t at = FIELD_INDEX(p, i);
		check_required(errs, FIELD(at, "type"), c->type);
		if (list_has(LIST("Approved", "Denied", "Failed"), c->type) &&
		    strcmp(c->status, "True"))
			field_not_supported(errs, FIELD(at, "status"), c->status, LIST("True"));
		else
			check_required_enum(errs, FIELD(at, "status"), c->status,
			                    LIST("False", "True", "Unknown"));
		if (!index_add(&seen, c->type, 0)) {
			field_duplicate(errs, FIELD(at, "type"), c->type);
		}
	}
	if (keeps(s, "Approved") && keeps(s, "Denied"))
		field_invalid(errs, p, "Denied",
		              "Approved and Denied conditions are mutually exclusive");
	static const char *const lasting[] = {"Approved", "Denied", "Failed"};
	for (size_t i = 0; i < ARRAY_LEN(lasting); i++)
		if (keeps(old, lasting[i]) && !keeps(s, lasting[i]))
			field_add(errs, FIELD_FORBIDDEN, p, NULL,
			          "updates may not remove a condition of type \"%s\"", lasting[i]);
}

/* Conditions get their times from the server. */
static void stamp(const struct strategy_ctx *ctx,
                  CertificatesV1__CertificateSigningRequestStatus *s)
{
	for (size_t i = 0; i < s->n_conditions; i++) {
		CertificatesV1__CertificateSigningRequestCondition *c = s->conditions[i];
		if (!*c->status)
			c->status = arena_strdup(ctx->arena, "True");
		if (c->last_update_time && !c->last_update_time->seconds)
			SET(c->last_update_time, seconds, ctx->now_sec);
		if (c->last_transition_time && !c->last_transition_time->seconds)
			SET(c->last_transition_time, seconds, ctx->now_sec);
	}
}

static void status_prepare(const struct strategy_ctx *ctx, struct object *obj,
                           const struct object *old_obj)
{
	CertificatesV1__CertificateSigningRequestStatus *s =
	    OBJECT_MSG(obj, CertificatesV1__CertificateSigningRequest)->status;
	const CertificatesV1__CertificateSigningRequestStatus *old =
	    OBJECT_MSG(old_obj, CertificatesV1__CertificateSigningRequest)->status;
	size_t n = 0;

	/* Approval goes by its own subresource: here those conditions stay as they are. */
	CertificatesV1__CertificateSigningRequestCondition **list =
	    arena_array(ctx->arena, CertificatesV1__CertificateSigningRequestCondition *,
	                s->n_conditions + old->n_conditions + 1);
	for (size_t i = 0; i < old->n_conditions; i++)
		if (list_has(LIST("Approved", "Denied"), old->conditions[i]->type))
			list[n++] = old->conditions[i];
	for (size_t i = 0; i < s->n_conditions; i++)
		if (!list_has(LIST("Approved", "Denied"), s->conditions[i]->type))
			list[n++] = s->conditions[i];
	s->conditions = list;
	s->n_conditions = n;
	stamp(ctx, s);
}

static void approval_prepare(const struct strategy_ctx *ctx, struct object *obj,
                             const struct object *old)
{
	CertificatesV1__CertificateSigningRequestStatus *s =
	    OBJECT_MSG(obj, CertificatesV1__CertificateSigningRequest)->status;

	s->certificate =
	    OBJECT_MSG(old, CertificatesV1__CertificateSigningRequest)->status->certificate;
	stamp(ctx, s);
}

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	check_conditions(errs, OBJECT_MSG(obj, CertificatesV1__CertificateSigningRequest)->status,
	                 OBJECT_MSG(old, CertificatesV1__CertificateSigningRequest)->status);
}

static void field_values(const struct object *obj, struct arena *a, const char **ret)
{
	ret[0] = OBJECT_MSG(obj, CertificatesV1__CertificateSigningRequest)->spec->signer_name;
}

static const char *condition_text(struct arena *a,
                                  const CertificatesV1__CertificateSigningRequestStatus *s)
{
	const char *text = keeps(s, "Denied") ? "Denied" : keeps(s, "Approved") ? "Approved" : "";

	if (keeps(s, "Failed"))
		text = joined(a, text, "Failed", ",");
	if (!*text)
		text = "Pending";
	return s->certificate.len ? arena_printf(a, "%s,Issued", text) : text;
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const CertificatesV1__CertificateSigningRequest *c =
	    OBJECT_MSG(obj, CertificatesV1__CertificateSigningRequest);
	char text[DURATION_BYTES] = "<none>";

	if (c->spec->has_expiration_seconds)
		duration_format_human(c->spec->expiration_seconds, text);
	row_name(r, obj);
	row_age(ctx, r, obj);
	row_str(r, *c->spec->signer_name ? c->spec->signer_name : "<none>");
	row_str(r, c->spec->username);
	row_str(r, arena_strdup(ctx->arena, text));
	row_str(r, condition_text(ctx->arena, c->status));
}

const struct strategy csr_strategy = {
    .kind = "CertificateSigningRequest",
    .has_status = true,
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .validate = validate,
    .allow_unconditional_update = true,
    .field_names = LIST("spec.signerName"),
    .field_values = field_values,
    .field_error_fmt = "field label not supported: %s",
    .table_row = row,
};

const struct strategy csr_status_strategy = {
    .kind = "CertificateSigningRequest",
    .is_status = true,
    .lax_update = true,
    .prepare_update = status_prepare,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};

const struct strategy csr_approval_strategy = {
    .kind = "CertificateSigningRequest",
    .is_status = true,
    .lax_update = true,
    .prepare_update = approval_prepare,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};
