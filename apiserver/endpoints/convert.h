/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Versions of a kind that is stored as another one: events.k8s.io/v1 Event as v1, autoscaling/v1
 * HorizontalPodAutoscaler as v2. */
#include <protobuf-c/protobuf-c.h>
#include "common/base/arena.h"

struct schema_message;

/* The message as the other kind, in the arena (it may share parts); NULL when there is no such
 * conversion. Equal schemas give the message itself. */
ProtobufCMessage *convert_message(const struct schema_message *from,
                                  const struct schema_message *to, const ProtobufCMessage *msg,
                                  struct arena *a);
