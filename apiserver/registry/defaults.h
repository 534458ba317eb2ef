/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Defaults that belong to a message type wherever it appears: a container's pull policy, a probe's
 * period, a port's protocol. One walk over the object applies them; what depends on the kind as a
 * whole is in the kinds' own `defaults`. Internal to registry/. */
#include "apiserver/registry/check.h"

/* Applies the defaults of every message below msg. Idempotent. */
void defaults_walk(struct arena *a, ProtobufCMessage *msg);

/* A new message of a type, with proto/'s invariants, and a new string. */
void *msg_new_(struct arena *a, const ProtobufCMessageDescriptor *desc);
#define MSG_NEW(a, type, desc) ((type *)msg_new_((a), &(desc)))
