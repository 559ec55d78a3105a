/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of PM2: ecosystem.config.js, .cjs, .mjs (read by node) and .json. Each app becomes a
 * service, with PM2's meaning and defaults: stopped by SIGINT, killed 1.6 s after it, `ready` by
 * message if it says wait_ready. What has no counterpart is named in a warning.
 */
#pragma once

#include "config/load.h"

/* Reads it, and notes everything that is wrong, or left out, in ret->problems. A negative errno,
 * with @err set, only if the file can't be read at all, or node isn't there. */
int pm2_load(const struct load_file *file, struct load_result *ret, struct error *err);
