/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Index functions of informers that several controllers use. */
#include "common/client/informer.h"

/* By uid. */
void index_uid(const struct informer_object *o, void (*emit)(void *, struct slice), void *arg);
/* By namespace, of objects that nobody controls. */
void index_orphan(const struct informer_object *o, void (*emit)(void *, struct slice), void *arg);
