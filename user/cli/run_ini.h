/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The native configuration file of `run`: a section [service NAME] or [NAME] for each service;
 * `command = PROGRAM ARGUMENT...`, split as a shell does, with nothing expanded; and every option
 * of the command line as `option = value`, flags also as `option` alone. Lines that begin with ';'
 * or '#' are comments.
 */
#pragma once

#include "cli/run_load.h"

/* Reads all of it, and notes everything that is wrong in ret->problems. -EINVAL, with @err set,
 * only if the file can't be read. */
int run_ini_load(const struct run_file *file, struct run_loaded *ret, struct error *err);
