/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the running kernel has the members of its structures, from its BTF. For programs that must
 * load without BTF too; others use CO-RE. */
#pragma once

#include <stdint.h>
#include <bpf/btf.h>

/* The offset of a direct member of a structure, in bits; 0 = not known, or the first member. */
uint32_t kernel_member_find(const struct btf *btf, const char *structure, const char *member);
