// SPDX-License-Identifier: Apache-2.0
//
// The server under load, seen from outside through /proc: the same for every server, and nothing
// that it says itself.
#ifndef WEIR_BENCH_PROC_H
#define WEIR_BENCH_PROC_H

// User and system time of the process so far, in seconds; 0 when it cannot be read (pid 0: none).
double proc_cpu_s(int pid);

// A field of /proc/PID/status in kB ("VmRSS:", "VmHWM:"); 0 when it cannot be read.
long proc_status_kb(int pid, const char *field);

#endif
