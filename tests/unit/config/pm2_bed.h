/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of PM2 files: apps that are loaded in the tests' folder, which has app.js. */
#pragma once

#include "config/pm2.h"

#define PM2_BED_CPUS 6

/* Of node, for an app of PM2. */
#define PM2_BED_REJECTIONS "--unhandled-rejections=warn"

int pm2_bed_load_file(struct load_file file, struct load_result *loaded, struct error *err);

/* Loads eco.json with this text. */
void pm2_bed_load(const char *text, const char *only, const char *env, struct load_result *loaded);

/* Loads an app that has these members besides name and script. It must have no problem. */
const struct run_config *pm2_bed_expect(const char *members, struct load_result *loaded);

/* The same, and its only problem must be a warning, or an error, that contains @said. */
const struct run_config *pm2_bed_expect_problem(const char *members, const char *said, bool error,
                                                struct load_result *loaded);

/* The command must be @words, which end with NULL. */
void pm2_bed_expect_argv(const struct run_config *c, const char *const *words);

/* A path in the tests' folder. Valid until the next call. */
const char *pm2_bed_here(const char *name);

int pm2_bed_setup(void **state);
