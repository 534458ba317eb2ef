/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/object.h"

#include "apiserver/registry/check.h"
#include "proto/msg.h"
#include "proto/schema.h"

struct object object_of(const struct resource_info *res, const struct schema_message *schema,
                        struct ProtobufCMessage *msg)
{
	struct object obj = {.res = res, .schema = schema, .msg = msg};

	if (schema->metadata &&
	    schema->metadata->message->desc == &meta_v1__object_meta__descriptor)
		obj.meta = *(MetaV1__ObjectMeta **)((char *)msg + schema->metadata->offset);
	return obj;
}

struct object object_copy(struct arena *a, const struct object *obj)
{
	return object_of(obj->res, obj->schema, msg_copy(obj->schema, obj->msg, a));
}

const char *object_name(const struct object *obj)
{
	return obj->meta ? obj->meta->name : "";
}

const char *object_namespace(const struct object *obj)
{
	return obj->meta ? obj->meta->namespace_ : "";
}

const char *object_uid(const struct object *obj)
{
	return obj->meta ? obj->meta->uid : "";
}

int64_t object_generation(const struct object *obj)
{
	return obj->meta ? obj->meta->generation : 0;
}

void object_set_generation(struct object *obj, int64_t generation)
{
	if (obj->meta)
		SET(obj->meta, generation, generation);
}

bool object_terminating(const struct object *obj)
{
	return obj->meta && obj->meta->deletion_timestamp;
}
