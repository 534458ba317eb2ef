/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Field management as hooks of the pipeline: what apiserver/fieldmanager needs of a request. */
#include "apiserver/endpoints/pipeline.h"

int manage_fields(void *arg, struct request *req, struct object *obj, const struct object *old,
                  struct arena *a, struct err *err);
const struct status *apply_fields(void *arg, struct request *req, struct slice body,
                                  const struct object *old, struct arena *a, struct object *ret);
