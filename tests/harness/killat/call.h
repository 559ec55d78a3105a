/* SPDX-License-Identifier: BSD-2-Clause */
/* What system calls are called. */
#pragma once

#include <stdint.h>

/* The name of a system call of this architecture by its number, NULL if it is not known here. */
const char *call_name(uint64_t number);
