/* SPDX-License-Identifier: Apache-2.0 */
/* resource.Quantity (Kubernetes' quantity library). */
#include "common/cel/internal.h"
#include "common/codec/quantity.h"

#define FN(name) \
	static struct cel_value name(struct cel_run *run, const struct cel_value *args, size_t n)

struct amount {
	struct cel_opaque base;
	struct quantity q;
};

static const struct quantity *amount(struct cel_value v)
{
	return &CONTAINER_OF(v.opaque, struct amount, base)->q;
}

static bool amounts_equal(const struct cel_opaque *a, const struct cel_opaque *b)
{
	return quantity_cmp(amount(cel_of_opaque(a)), amount(cel_of_opaque(b))) == 0;
}

static const struct cel_opaque_class CLASS = {"kubernetes.Quantity", amounts_equal};

static struct cel_value amount_new(struct cel_run *run, const struct quantity *q)
{
	struct amount *x = arena_new(run->arena, struct amount);

	x->base.class = &CLASS;
	x->q = *q;
	return cel_of_opaque(&x->base);
}

FN(parse)
{
	struct err err = ERR_INIT;
	struct quantity q;

	cel_charge_text(run, args[0].s.len);
	if (quantity_parse(args[0].s, &q, &err) < 0)
		return cel_error(run->arena, "%s", err.text);
	return amount_new(run, &q);
}
FN(is_quantity)
{
	struct err err = ERR_INIT;
	struct quantity q;

	cel_charge_text(run, args[0].s.len);
	return cel_of_bool(quantity_parse(args[0].s, &q, &err) == 0);
}
FN(sign)
{
	return cel_of_int(quantity_sign(amount(args[0])));
}
FN(is_integer)
{
	int64_t i = quantity_value(amount(args[0]));
	return cel_of_bool(quantity_is_integer(amount(args[0])) &&
	                   quantity_cmp_int(amount(args[0]), i) == 0);
}
FN(as_integer)
{
	if (!is_integer(run, args, n).b)
		return cel_error(run->arena, "cannot convert value to integer");
	return cel_of_int(quantity_value(amount(args[0])));
}
FN(as_float)
{
	return (struct cel_value){.kind = CEL_DOUBLE, .d = quantity_double(amount(args[0]))};
}
FN(compare)
{
	return cel_of_int(quantity_cmp(amount(args[0]), amount(args[1])));
}
FN(is_less)
{
	return cel_of_bool(quantity_cmp(amount(args[0]), amount(args[1])) < 0);
}
FN(is_greater)
{
	return cel_of_bool(quantity_cmp(amount(args[0]), amount(args[1])) > 0);
}

static struct cel_value sum(struct cel_run *run, const struct cel_value *args, bool minus)
{
	struct quantity q = *amount(args[0]), other;

	other = args[1].kind == CEL_INT ? quantity_from_int(args[1].i, QUANTITY_DECIMAL_SI)
	                                : *amount(args[1]);
	if (minus)
		quantity_sub(&q, &other);
	else
		quantity_add(&q, &other);
	return amount_new(run, &q);
}
FN(add)
{
	return sum(run, args, false);
}
FN(subtract)
{
	return sum(run, args, true);
}

static const struct cel_overload OVERLOADS[] = {
    {"quantity", false, "string:quantity", parse},
    {"isQuantity", false, "string:bool", is_quantity},
    {"sign", true, "quantity:int", sign},
    {"isInteger", true, "quantity:bool", is_integer},
    {"asInteger", true, "quantity:int", as_integer},
    {"asApproximateFloat", true, "quantity:double", as_float},
    {"compareTo", true, "quantity,quantity:int", compare},
    {"isLessThan", true, "quantity,quantity:bool", is_less},
    {"isGreaterThan", true, "quantity,quantity:bool", is_greater},
    {"add", true, "quantity,quantity:quantity", add},
    {"add", true, "quantity,int:quantity", add},
    {"sub", true, "quantity,quantity:quantity", subtract},
    {"sub", true, "quantity,int:quantity", subtract},
};
const struct cel_library cel_lib_quantity = {OVERLOADS, ARRAY_LEN(OVERLOADS)};
