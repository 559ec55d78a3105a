/* SPDX-License-Identifier: BSD-2-Clause */
/* Kinds of system calls: each number is a kind; of bpf(), each command is a kind. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CALL_KIND_MAX 1152

/* The kind of a call, by its number and its first argument: lower than CALL_KIND_MAX. */
unsigned int call_kind(uint64_t number, uint64_t argument);

/* Writes the name of a kind, such as "read" or "bpf:OBJ_PIN"; the number if the name is unknown. */
void call_format(unsigned int kind, char *buf, size_t size);
