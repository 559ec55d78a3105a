/* SPDX-License-Identifier: BSD-2-Clause */
/* What a service may be called. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include <reuseportd/abi.h>

/* A service's name: a letter, then letters, digits, '-' and '_' (bpffs refuses '.'). Bad input is
 * error_usage(). */
int service_name_check(const char *service, struct error *err);

/* PROGRAM-PORT, or PROGRAM if @port is 0, in the letters that a service's name may have. A long
 * @program is cut. */
void service_name_derive(const char *program, uint16_t port, char ret[RPD_LABEL_MAX]);
