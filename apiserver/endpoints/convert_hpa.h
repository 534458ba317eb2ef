/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* HorizontalPodAutoscaler between autoscaling/v2, which is stored, and v1, which has a field for
 * the cpu target alone: the rest travels in annotations, so that a write through v1 loses nothing
 * (kubernetes pkg/apis/autoscaling/v1/conversion.go). */
#include <protobuf-c/protobuf-c.h>
#include "common/base/arena.h"

struct schema_message;

ProtobufCMessage *convert_hpa_to_v1(const ProtobufCMessage *msg, const struct schema_message *to,
                                    struct arena *a);
ProtobufCMessage *convert_hpa_from_v1(const ProtobufCMessage *msg, const struct schema_message *to,
                                      struct arena *a);
