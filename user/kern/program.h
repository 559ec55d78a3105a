/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel tells about a loaded BPF program. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PROGRAM_NAME_MAX 16 /* BPF_OBJ_NAME_LEN */

/* The id of program @fd; 0 if @fd is none. */
uint32_t program_id(int fd);

/* Reads the name of program @id. Returns false if it has none, or we may not read it (that needs
 * CAP_SYS_ADMIN). */
bool program_name(uint32_t id, char ret[PROGRAM_NAME_MAX]);

/* Whether there is no program @id. Returns false if we may not ask. */
bool program_is_missing(uint32_t id);
