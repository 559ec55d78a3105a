/* SPDX-License-Identifier: BSD-2-Clause */
/* Kinds of system calls: those of one number, and of bpf() those of one command. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CALL_KIND_MAX 1152

/* The kind of a call by its number and its first argument: below CALL_KIND_MAX. */
unsigned int call_kind(uint64_t number, uint64_t argument);

/* Its name, such as "read" or "bpf:OBJ_PIN", or its number if that isn't known here. */
void call_format(unsigned int kind, char *buf, size_t size);
