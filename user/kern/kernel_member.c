/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/kernel_member.h"

#include <string.h>

uint32_t kernel_member_find(const struct btf *btf, const char *structure, const char *member)
{
	const int id = btf__find_by_name_kind(btf, structure, BTF_KIND_STRUCT);
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

	for (uint32_t i = 0; type && i < btf_vlen(type); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_members(type)[i].name_off), member))
			return btf_member_bit_offset(type, i);
	return 0;
}
