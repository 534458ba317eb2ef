/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Content negotiation (apiserver pkg/endpoints/handlers/negotiation): Accept lists with q, the
 * parameters as, g, v and stream, and the types of bodies. Pure. */
#include "apiserver/request/request.h"

/* One clause of an Accept header. */
struct accept_clause {
	const char *type, *subtype; /* "application", "json"; "*" */
	double q;
	const char *as, *group, *version, *stream, *profile; /* "" when not given */
};

enum { ACCEPT_CLAUSES_MAX = 32 };

/* Parses a list, best first (q, then exact before wildcard, then as written); what is no media type
 * is left out. Returns the number of clauses. */
size_t accept_parse(struct arena *a, const char *header,
                    struct accept_clause ret[ACCEPT_CLAUSES_MAX]);

/* Does the clause take this type ("application", "json")? */
bool accept_clause_takes(const struct accept_clause *c, const char *type, const char *subtype);

/* Fills r->accept and r->body_type. For requests of built-in resources also returns the fault that
 * upstream finds (406, 415, 413 when the body was too large), or NULL. */
const struct status *negotiate(struct request *r, bool body_too_large, uint64_t limit_bytes);
