// SPDX-License-Identifier: Apache-2.0
//
// Direct mode: a target with much data in a group gets it from its own writer, straight into its
// file, while the journal writes references. Both are synced at the same time and the group's
// answer follows both, so sustained traffic is written once, not twice. The choice is made per
// target, not per frame: a target's bytes of one group all go the same way.
//
// A writer gets all its targets of a group in one message and writes them all before it syncs the
// first: the file system commits its own journal once for all of them, not once for each.
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/journal_int.h"

static void target_count(struct journal_target *target, uint64_t group_seq, uint64_t bytes)
{
    if (target->group_mark != group_seq) {
        target->group_mark = group_seq;
        target->group_bytes = 0;
    }
    target->group_bytes += bytes;
}

// A group holds at most group_max_bytes / direct_min_bytes of these: a walk is shorter than a map.
static struct direct_job *job_of(struct journal *journal, struct journal_target *target)
{
    LIST_FOR (it, &journal->group.jobs) {
        struct direct_job *job = CONTAINER_OF(it, struct direct_job, link);
        if (job->target == target)
            return job;
    }
    struct direct_job *job = mem_zalloc(sizeof *job);
    job->journal = journal;
    job->target = target;
    list_push_back(&journal->group.jobs, &job->link);
    return job;
}

static void job_add(struct direct_job *job, struct journal_frame *frame)
{
    if (job->count == job->cap) {
        job->cap = job->cap == 0 ? 16 : job->cap * 2;
        job->frames = mem_realloc(job->frames, job->cap * sizeof(struct journal_frame *));
    }
    job->frames[job->count++] = frame;
}

static void submission_count(struct journal *journal, struct journal_submission *s)
{
    LIST_FOR (it, &s->frames) {
        const struct journal_write *w = &CONTAINER_OF(it, struct journal_frame, link)->w;
        if (w->target != NULL)
            target_count(w->target, journal->group.seq, w->body.len);
    }
}

static void submission_choose(struct journal *journal, struct journal_submission *s)
{
    LIST_FOR (it, &s->frames) {
        struct journal_frame *frame = CONTAINER_OF(it, struct journal_frame, link);
        struct journal_target *target = frame->w.target;
        if (target == NULL || target->group_bytes < journal->options.direct_min_bytes)
            continue;
        ASSERT(target->group_mark == journal->group.seq);
        frame->direct = true;
        job_add(job_of(journal, target), frame);
    }
}

void group_choose_direct(struct journal *journal)
{
    struct journal_group *group = &journal->group;
    ASSERT(list_empty(&group->jobs));
    LIST_FOR (it, &group->submissions)
        submission_count(journal, CONTAINER_OF(it, struct journal_submission, link));
    LIST_FOR (it, &group->submissions)
        submission_choose(journal, CONTAINER_OF(it, struct journal_submission, link));
}

static void job_done(struct io_msg *msg) // on the journal's actor
{
    struct direct_job *job = CONTAINER_OF(msg, struct direct_job, msg);
    struct journal *journal = job->journal;
    ASSERT(journal->group.jobs_left > 0);
    journal->group.jobs_left--;
    if (job->err == ERR_NOSPACE) {
        journal->group.no_space = true; // the journal's own blocks are there already
    } else if (job->err != 0) {
        journal->group.err = ERR_SYNC;
        journal_fail(journal, job->err, "a segment could not be written and synced");
    }
    group_finish_if_done(journal);
}

static void job_run(struct io_msg *msg) // on the targets' writer
{
    struct direct_job *first = CONTAINER_OF(msg, struct direct_job, msg);
    int err = 0;
    for (struct direct_job *job = first; job != NULL && err == 0; job = job->next)
        err = job->target->write(job->target, job->frames, job->count);
    for (struct direct_job *job = first; job != NULL && err == 0; job = job->next)
        err = job->target->sync(job->target, job->frames, job->count);
    first->err = err;
    first->msg.run = job_done;
    io_post(first->journal->options.actor, &first->msg);
}

// Ties the later jobs of the same writer behind this one.
static void job_gather(struct journal *journal, struct direct_job *first)
{
    struct direct_job *last = first;
    for (struct list *it = first->link.next; it != &journal->group.jobs; it = it->next) {
        struct direct_job *job = CONTAINER_OF(it, struct direct_job, link);
        if (job->target->writer != first->target->writer)
            continue;
        ASSERT(!job->gathered);
        job->gathered = true;
        last->next = job;
        last = job;
    }
}

void direct_start(struct journal *journal)
{
    ASSERT(journal->group.jobs_left == 0);
    LIST_FOR (it, &journal->group.jobs) {
        struct direct_job *job = CONTAINER_OF(it, struct direct_job, link);
        ASSERT(job->count > 0);
        journal->stats.direct_syncs++;
        if (job->gathered)
            continue;
        job_gather(journal, job);
        journal->group.jobs_left++;
        job->msg.run = job_run;
        io_post(job->target->writer, &job->msg);
    }
}

void direct_free(struct journal *journal)
{
    for (struct list *it; (it = list_pop_front(&journal->group.jobs)) != NULL;) {
        struct direct_job *job = CONTAINER_OF(it, struct direct_job, link);
        mem_free(job->frames);
        mem_free(job);
    }
}
