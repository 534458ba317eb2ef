/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Schemas of custom resource definitions: what upstream calls structural. Internal to registry/. */
#include "apiserver/registry/check.h"

/* Checks the schema of a version, which stands at `p`. */
void crd_schema_check(errs_t errs, path_t p, const ApiextensionsV1__JSONSchemaProps *s);
bool crd_schema_has_default(const ApiextensionsV1__JSONSchemaProps *s, int depth);
