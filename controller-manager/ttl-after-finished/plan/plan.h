/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* When a finished Job goes by itself (spec.ttlSecondsAfterFinished). Pure. */
#include <stdbool.h>
#include "proto/batch_v1.pb-c.h"

/* False: it does not, or not yet. */
bool ttl_expiry(const BatchV1__Job *job, int64_t *ret_s);
