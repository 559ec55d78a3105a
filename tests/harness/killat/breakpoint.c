/* SPDX-License-Identifier: BSD-2-Clause */
#include "breakpoint.h"

#include <elf.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#if defined(__x86_64__)
static const uint8_t instruction[] = {0xcc}; /* int3; leaves the program counter behind it */
#define PC_AFTER_BREAKPOINT 1
#elif defined(__aarch64__)
static const uint8_t instruction[] = {0x00, 0x00, 0x20, 0xd4}; /* brk #0 */
#define PC_AFTER_BREAKPOINT 0
#else
#error "--skip-start: the breakpoint instruction of this architecture is unknown"
#endif

static uint64_t breakpoint_entry_point(pid_t pid)
{
	char path[64];
	Elf64_auxv_t entry = {0};
	FILE *auxv;

	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	auxv = fopen(path, "re");
	if (!auxv)
		err(EXIT_FAILURE, "%s", path);
	while (entry.a_type != AT_ENTRY) {
		if (fread(&entry, sizeof(entry), 1, auxv) != 1)
			errx(EXIT_FAILURE, "%s: no AT_ENTRY", path);
	}
	fclose(auxv);
	return entry.a_un.a_val;
}

void breakpoint_set(struct breakpoint *breakpoint, pid_t pid)
{
	long word;

	breakpoint->at = breakpoint_entry_point(pid);
	errno = 0;
	word = breakpoint->word = ptrace(PTRACE_PEEKTEXT, pid, (void *)breakpoint->at, NULL);
	memcpy(&word, instruction, sizeof(instruction));
	if (errno || ptrace(PTRACE_POKETEXT, pid, (void *)breakpoint->at, (void *)word) < 0)
		err(EXIT_FAILURE, "breakpoint at %#" PRIx64, breakpoint->at);
}

bool breakpoint_is_hit(const struct breakpoint *breakpoint, pid_t tid)
{
	struct __ptrace_syscall_info info;

	return breakpoint->at &&
	       ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), &info) > 0 &&
	       info.instruction_pointer == breakpoint->at + PC_AFTER_BREAKPOINT;
}

void breakpoint_clear(struct breakpoint *breakpoint, pid_t tid)
{
	if (ptrace(PTRACE_POKETEXT, tid, (void *)breakpoint->at, (void *)breakpoint->word) < 0)
		err(EXIT_FAILURE, "breakpoint");
#if defined(__x86_64__)
	if (ptrace(PTRACE_POKEUSER, tid, (void *)offsetof(struct user_regs_struct, rip),
	           (void *)breakpoint->at) < 0)
		err(EXIT_FAILURE, "program counter");
#endif
	breakpoint->at = 0;
}
