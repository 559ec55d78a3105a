/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of PM2: ecosystem.config.js, .cjs, .mjs, .json, .json5 and .jsonc. node evaluates them,
 * except a file that is plain JSON. Each app becomes a
 * service with PM2's meaning and defaults: SIGINT stops it, SIGKILL follows after 1.6 s, wait_ready
 * makes it ready by message. An option without a counterpart is a warning.
 */
#pragma once

#include "config/load.h"

/* Reads the file. Every error, and every option that is ignored, is in ret->problems. Fails, with
 * @err set, only if the file can't be read or node can't be run. */
int pm2_load(const struct load_file *file, struct load_result *ret, struct error *err);

/* The same with the text of a JSON document. Scripts are also looked for in the folder of
 * file->path. */
void pm2_load_text(const struct load_file *file, const char *text, struct load_result *ret);

/* The same with the answer of node_read(). */
void pm2_load_answer(const struct load_file *file, const char *text, struct load_result *ret);
