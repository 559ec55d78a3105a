/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf_rdonly_cast(), a function of the kernel (since Linux 6.2): it gives a pointer the type of a
 * structure. The program then reads a member with one instruction, which costs a tenth of a call of
 * bpf_probe_read_kernel(), and gives 0 if the memory is not there, too.
 *
 * libbpf could link the call, but then it loads the program on no kernel without BTF. So the
 * program calls helper RPD_CALL_CAST, which does not exist, in a branch that the verifier removes
 * if the kernel doesn't have the function.
 */
#pragma once

#include <stdbool.h>
#include <bpf/btf.h>

/* Links the calls in steering programs that are opened from now on. Returns false if they can't
 * call the function. */
bool kernel_cast_link(const struct btf *btf);
