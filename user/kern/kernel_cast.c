/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/kernel_cast.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/cleanup.h"
#include <reuseportd/members_abi.h>

static struct bpf_insn kernel_cast_call(int32_t function)
{
	return (struct bpf_insn){
	        .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL, .imm = function};
}

/* Whether the kernel lets a steering program call it, by a program that does. A kernel without JIT
 * doesn't. */
static bool kernel_cast_probe(int32_t function, int32_t type)
{
	const struct bpf_insn insns[] = {
	        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = type},
	        kernel_cast_call(function),
	        {.code = BPF_LDX | BPF_MEM | BPF_DW, .src_reg = BPF_REG_0},
	        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = SK_PASS},
	        {.code = BPF_JMP | BPF_EXIT},
	};
	_cleanup_close_ int prog = bpf_prog_load(BPF_PROG_TYPE_SK_REUSEPORT, NULL, "Dual BSD/GPL",
	                                         insns, ARRAY_SIZE(insns), NULL);

	return prog >= 0;
}

/* libbpf calls it before it loads a program. */
static int kernel_cast_prepare(struct bpf_program *program, struct bpf_prog_load_opts *opts,
                               long function)
{
	const size_t n = bpf_program__insn_cnt(program);
	_cleanup_free_ struct bpf_insn *insns = calloc(n, sizeof(*insns));

	(void)opts;
	if (!insns)
		return -ENOMEM;
	memcpy(insns, bpf_program__insns(program), n * sizeof(*insns));
	for (size_t i = 0; i < n; i++)
		if (insns[i].code == (BPF_JMP | BPF_CALL) && insns[i].src_reg == 0 &&
		    insns[i].imm == RPD_CALL_CAST)
			insns[i] = kernel_cast_call((int32_t)function);
	return bpf_program__set_insns(program, insns, n);
}

bool kernel_cast_link(const struct btf *btf)
{
	const int function = btf__find_by_name_kind(btf, "bpf_rdonly_cast", BTF_KIND_FUNC);
	const int type = btf__find_by_name_kind(btf, "sk_reuseport_kern", BTF_KIND_STRUCT);
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .cookie = function,
	            .prog_prepare_load_fn = kernel_cast_prepare);

	return function > 0 && type > 0 && kernel_cast_probe(function, type) &&
	       libbpf_register_prog_handler("sk_reuseport/migrate", BPF_PROG_TYPE_SK_REUSEPORT,
	                                    BPF_SK_REUSEPORT_SELECT_OR_MIGRATE, &opts) >= 0;
}
