/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The difference of two messages as a unified diff of their lines, for the details of errors.
 * Internal to registry/. */
#include "apiserver/registry/check.h"

/* One hunk with three lines of context; "" when they are equal. */
const char *msg_diff(errs_t errs, const void *old, const void *now);
