/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The native configuration file of `run`: a section [service NAME] or [NAME] for each service;
 * `command = PROGRAM ARGUMENT...`, split as a shell does, with nothing expanded; and every option
 * of the command line as `option = value`, flags also as `option` alone. Lines that begin with ';'
 * or '#' are comments.
 */
#pragma once

#include "config/load.h"

/* Reads all of it, and notes everything that is wrong in ret->problems. -EINVAL, with @err set,
 * only if the file can't be read. */
int ini_load(const struct load_file *file, struct load_result *ret, struct error *err);

/* The same with the text of the file; file->path is not used. */
void ini_load_text(const struct load_file *file, const char *text, size_t size,
                   struct load_result *ret);
