#include "cli/commands.h"
#include "cli/issuer.h"
#include "cli/progress.h"
#include "cli/show.h"
#include "cli/tree.h"
#include "core/base/os_file.h"
#include "core/base/os_parallel.h"
#include "core/base/os_time.h"
#include "core/pack/pack.h"
#include "core/proto/ticket.h"
#include "core/seal/seal.h"

#include <string.h>

/* All that one sealing needs; made by steps, ended by job_done. */
typedef struct job {
    char dir[EMK_CLI_PATH_MAX];
    const emk_crypto *crypto;
    unsigned threads;
    emk_tree model;
    emk_buf ticket_message;
    emk_ticket ticket;
    emk_cli_signer signer;
    emk_buf certificate;
    emk_plan plan;
    emk_pack_report found;
    emk_sealing *sealing;
} job;

static void job_done(job *j)
{
    emk_sealing_free(j->sealing);
    emk_plan_done(&j->plan);
    emk_buf_done(&j->certificate);
    emk_cli_signer_done(&j->signer);
    emk_buf_done(&j->ticket_message);
    emk_tree_done(&j->model);
}

static emk_status used(emk_cli *cli)
{
    emk_status st =
        emk_fail(&cli->error, EMK_E_USED, "ticket: a model was sealed for it already", 0);

    return emk_cli_advise(cli, st,
                          "A ticket is good for one sealed model: have the device make a "
                          "new request.");
}

static emk_status read_ticket(emk_cli *cli, job *j)
{
    const char *path = emk_cli_option_value(cli, "ticket");
    emk_verify_key *issuer = NULL;
    emk_status st = emk_cli_read_input(cli, path, EMK_MESSAGE_MAX, &j->ticket_message);

    if (st == EMK_OK)
        st = emk_cli_verify_key_read(cli, j->dir, &issuer);
    if (st == EMK_OK)
        st = emk_ticket_verify(j->crypto, emk_buf_span(&j->ticket_message), issuer, emk_os_now_s(),
                               &j->ticket, &cli->error);
    emk_verify_key_free(issuer);
    if (st == EMK_E_POLICY)
        st = emk_cli_advise(cli, st,
                            "Tickets are good for minutes: have the issuer make one for a "
                            "new request.");
    if (st == EMK_OK &&
        emk_cli_note_exists(cli, j->dir, "redeemed", emk_span_of(j->ticket.id, EMK_ID_LEN)))
        st = used(cli);
    return emk_cli_about(cli, st, path);
}

static emk_status read_signer(emk_cli *cli, job *j)
{
    emk_status st = emk_cli_signer_open(cli, j->dir, EMK_CLI_KEY_SEALING, &j->signer);

    return st == EMK_OK ? emk_cli_sealing_cert_read(cli, j->dir, &j->signer.signer, &j->certificate)
                        : st;
}

static emk_status advise_plan(emk_cli *cli, emk_status st)
{
    if (st == EMK_E_FORMAT)
        return emk_cli_advise(cli, st,
                              "The model file is not well-formed. --whole seals it "
                              "without looking inside.");
    if (st == EMK_E_NOT_FOUND || (st == EMK_E_UNSUPPORTED && strstr(cli->error.what, "files")))
        return emk_cli_advise(cli, st,
                              "Seal the folder that holds all its files, or name them all: "
                              "weights in a file left out would stay unprotected. --whole seals "
                              "what is named as it is.");
    if (st == EMK_E_UNSUPPORTED && emk_cli_option_given(cli, "strict"))
        return emk_cli_advise(cli, st,
                              "`earmark inspect --model` shows what is known of it. Without "
                              "--strict it is sealed all the same.");
    if (st == EMK_E_UNSUPPORTED)
        return emk_cli_advise(cli, st, "Leave out --clear, then all of it is sealed.");
    return st;
}

/* What --clear, --strict, --whole and so on ask for. */
static emk_status read_options(emk_cli *cli, const job *j, emk_pack_in *in)
{
    const char *format = emk_cli_option_value(cli, "format");
    const char *clear = emk_cli_option_value(cli, "clear");

    in->whole = emk_cli_option_given(cli, "whole");
    in->no_digests = emk_cli_option_given(cli, "no-digests");
    in->clear_structure = clear != NULL;
    if (clear && strcmp(clear, "structure") != 0 && strcmp(clear, "small-int") != 0)
        return emk_cli_usage(cli, "--clear is structure or small-int");
    if (clear && strcmp(clear, "small-int") == 0)
        in->model_flags |= EMK_MODEL_KEEP_SMALL_INT;
    if (emk_cli_option_given(cli, "strict"))
        in->model_flags |= EMK_MODEL_STRICT;
    if (in->whole && (clear || (in->model_flags & EMK_MODEL_STRICT)))
        return emk_cli_usage(cli, "--whole does not look inside: without --clear and --strict");
    if (format && (in->format = emk_model_format_named(format)) == EMK_MODEL_UNKNOWN)
        return emk_cli_usage(cli, "--format: earmark does not know that one");
    if (format && !j->model.single)
        return emk_cli_usage(cli, "--format is for a model of one file");
    return EMK_OK;
}

static emk_status make_plan(emk_cli *cli, job *j)
{
    char about[EMK_SURVEY_ABOUT] = "";
    emk_cli_progress progress;
    emk_pack_in in = {.threads = j->threads, .about = about};
    emk_status st = emk_cli_tree_open(cli, &j->model);

    if (st == EMK_OK)
        st = read_options(cli, j, &in);
    if (st != EMK_OK)
        return st;
    emk_cli_progress_init(&progress, cli, "reading");
    in.model = &j->model.source;
    in.progress = &progress.call;
    in.file_name = emk_cli_operand_at(cli, 0);
    if (!j->model.single) {
        in.files = j->model.list;
        in.n_files = j->model.n_files;
    }
    st = emk_pack_plan(j->crypto, &in, &j->plan, &j->found, &cli->error);
    emk_cli_progress_done(&progress);
    return emk_cli_about(cli, advise_plan(cli, st), about[0] ? about : in.file_name);
}

static emk_status start_sealing(emk_cli *cli, job *j)
{
    const char *cipher = emk_cli_option_value(cli, "cipher");
    emk_seal_in in = {.model = &j->model.source,
                      .plan = &j->plan,
                      .signer = &j->signer.signer,
                      .certificate = emk_buf_span(&j->certificate),
                      .policy = j->ticket.policy_bytes,
                      .identity = j->ticket.identity_bytes,
                      .lease_key = j->ticket.lease_key,
                      .device_key = j->ticket.device_key,
                      .request_key = j->ticket.request_key,
                      .now = emk_os_now_s()};

    if (cipher && strcmp(cipher, "aes") != 0 && strcmp(cipher, "chacha") != 0)
        return emk_cli_usage(cli, "--cipher is aes or chacha");
    in.chacha = cipher && strcmp(cipher, "chacha") == 0;
    memcpy(in.ticket_id, j->ticket.id, EMK_ID_LEN);
    memcpy(in.ticket_hash, j->ticket.hash, EMK_HASH_LEN);
    memcpy(in.request_hash, j->ticket.request_hash, EMK_HASH_LEN);
    return emk_sealing_new(j->crypto, &in, &j->sealing, &cli->error);
}

/* Bytes of two versions would make a model that nobody has tested. */
static emk_status check_unchanged(emk_cli *cli, const job *j)
{
    char about[EMK_TREE_ABOUT] = "";
    emk_status st = emk_tree_check_unchanged(&j->model, about, &cli->error);

    st = emk_cli_advise(cli, st, "Seal it again when nothing writes to it.");
    return emk_cli_about(cli, st, about[0] ? about : emk_cli_operand_at(cli, 0));
}

static emk_status fill(emk_cli *cli, job *j, int fd)
{
    emk_cli_progress progress;
    emk_sink sink = emk_sink_from_fd(&fd);
    emk_status st = emk_os_reserve(fd, emk_sealing_len(j->sealing), &cli->error);

    emk_cli_progress_init(&progress, cli, "sealing");
    if (st == EMK_OK)
        st = emk_sealing_write(j->sealing, &sink, j->threads, &progress.call, &cli->error);
    if (st == EMK_OK)
        st = check_unchanged(cli, j);
    if (st == EMK_OK)
        st = emk_os_sync(fd, &cli->error);
    emk_cli_progress_done(&progress);
    return st;
}

/* The file appears whole or not at all.  *gone says that nothing of it is left after a
 * failure. */
static emk_status write_sealed(emk_cli *cli, job *j, const char *path, bool *gone)
{
    char name[EMK_CLI_PATH_MAX];
    int fd = -1;
    emk_status st = emk_os_create_beside(path, &fd, name, sizeof name, &cli->error), removed;

    *gone = st != EMK_OK;
    if (st != EMK_OK)
        return emk_cli_about(cli, st, path);
    st = fill(cli, j, fd);
    emk_os_close(fd);
    if (st == EMK_OK)
        st = emk_os_replace(name, path, &cli->error);
    if (st == EMK_OK)
        return EMK_OK;
    removed = emk_os_remove(name, NULL);
    *gone = removed == EMK_OK; /* else it may have its final name already */
    if (removed != EMK_OK && removed != EMK_E_NOT_FOUND)
        emk_cli_remark(cli, "could not remove the unfinished %s", name);
    return emk_cli_about(cli, st, path);
}

/* The ticket is noted as used before the file can exist, so that two sealers cannot both. */
static emk_status redeem_and_write(emk_cli *cli, job *j)
{
    emk_span id = emk_span_of(j->ticket.id, EMK_ID_LEN);
    emk_span file_id = emk_span_of(emk_sealing_file_id(j->sealing), EMK_ID_LEN);
    bool gone = false;
    emk_status st = emk_cli_note_once(cli, j->dir, "redeemed", id, file_id);

    if (st == EMK_E_USED)
        return used(cli);
    if (st != EMK_OK)
        return st;
    st = write_sealed(cli, j, emk_cli_option_value(cli, "output"), &gone);
    if (st != EMK_OK && gone)
        emk_cli_note_forget(cli, j->dir, "redeemed", id);
    return st;
}

static void show_files(emk_cli *cli, const job *j)
{
    if (j->model.single)
        return;
    emk_cli_begin_list(&cli->out, "files");
    for (uint32_t i = 0; i < j->model.n_files; i++) {
        const emk_pack_found *f = &j->found.files[i];
        const char *format = f->is_part ? "part" : emk_model_format_name(f->format);

        emk_cli_tree_show_file(&cli->out, emk_span_str(j->model.list[i].path),
                               j->model.list[i].length, format);
    }
    emk_cli_end(&cli->out);
}

/* All is sealed but what --clear leaves; how much of it is known tensor by tensor is another
 * matter. */
static void show_coverage(emk_cli *cli, const job *j)
{
    emk_cli_out *o = &cli->out;
    const emk_pack_report *r = &j->found;

    emk_cli_put_number(o, "tensors", r->tensors);
    emk_cli_put_size(o, "weight_bytes", r->weight_bytes);
    emk_cli_put_ratio(o, "weights", r->weight_bytes, r->model_len);
    emk_cli_put_size(o, "left_clear", r->clear_bytes);
    emk_cli_show_not_listed(o, r->not_told, r->unknown_bytes);
    if (emk_cli_option_given(cli, "whole") || emk_pack_coverage(r) >= EMK_PACK_LOW_COVERAGE)
        return;
    if (emk_cli_option_given(cli, "clear"))
        emk_cli_remark(
            cli,
            "low coverage: only %u %% of the model are known to be weights; %llu bytes of "
            "it can be read by anyone. Look at `earmark inspect --model`, or seal it "
            "without --clear.",
            emk_pack_coverage(r), (unsigned long long)r->clear_bytes);
    else
        emk_cli_remark(
            cli,
            "low coverage: only %u %% of the model are known to be weights; all of it is "
            "sealed nevertheless",
            emk_pack_coverage(r));
}

static void report(emk_cli *cli, const job *j)
{
    const char *path = emk_cli_option_value(cli, "output");

    emk_cli_put_string(&cli->out, "sealed", path);
    emk_cli_put_size(&cli->out, "size", emk_sealing_len(j->sealing));
    emk_cli_show_identity(&cli->out, &j->ticket.identity);
    emk_cli_put_string(&cli->out, "format", emk_model_format_name(j->found.format));
    emk_cli_put_size(&cli->out, "model_size", j->found.model_len);
    show_files(cli, j);
    show_coverage(cli, j);
    emk_cli_put_hex(&cli->out, "file_id", emk_span_of(emk_sealing_file_id(j->sealing), EMK_ID_LEN));
    emk_cli_next(cli, ", on the device: earmark accept %s --ticket %s", path,
                 emk_cli_option_value(cli, "ticket"));
}

static emk_status run(emk_cli *cli)
{
    static job j; /* tens of KiB */
    emk_status st;

    j.threads = emk_os_processors();
    if (j.threads > EMK_SEAL_THREADS_MAX)
        j.threads = EMK_SEAL_THREADS_MAX;
    emk_buf_init(&j.ticket_message, EMK_MESSAGE_MAX);
    emk_buf_init(&j.certificate, EMK_MESSAGE_MAX);
    if (strcmp(emk_cli_option_value(cli, "output"), "-") == 0) /* it is written out of order */
        st = emk_cli_usage(cli, "-o: a sealed model needs a file, not standard output");
    else
        st = emk_cli_home(cli, "issuer", j.dir);
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &j.crypto);
    if (st == EMK_OK)
        st = read_ticket(cli, &j);
    if (st == EMK_OK)
        st = read_signer(cli, &j);
    if (st == EMK_OK)
        st = make_plan(cli, &j);
    if (st == EMK_OK)
        st = start_sealing(cli, &j);
    if (st == EMK_OK)
        st = redeem_and_write(cli, &j);
    if (st == EMK_OK)
        report(cli, &j);
    job_done(&j);
    return st;
}

static const char *const paragraphs[] = {
    "Seals a model for the one device and the one user that the ticket names: the weights to the "
    "device's own key, and around that everything to the key that was made for this one request. "
    "The result may travel and wait anywhere.",
    "MODEL is one file, several files, or a folder with all that is in it (no links, at most 512 "
    "files); on the device it comes back as the same tree. Formats that keep weights in files of "
    "their own need all of them.",
    "Everything is sealed, whatever its format. With --clear the structure stays readable, so that "
    "it can be looked at where the model lies: then all rests on what earmark knows to be weights. "
    "It says how many per cent of the model that is, and warns below 90; --strict refuses then, "
    "and where the model is known to have weights that cannot be told apart.",
    "This needs the issuer's public key and a sealing key with its certificate, all of which are "
    "in the issuer's directory, but not the issuer's own key. A ticket is good for one sealed "
    "model.",
    NULL};

static const emk_cli_operand operands[] = {
    {"MODEL", EMK_CLI_FILE, "the model's file, of any format; or several, or a folder", false},
    {0},
};

static const emk_cli_option options[] = {
    {"ticket", 't', EMK_CLI_FILE, "FILE", "what `earmark ticket` wrote; - is standard input", true},
    {"output", 'o', EMK_CLI_FILE, "FILE", "write the sealed model here", true},
    {"cipher", 0, EMK_CLI_WORD, "NAME",
     "aes (default), or chacha for devices without AES "
     "instructions",
     false},
    {"whole", 0, EMK_CLI_FLAG, NULL, "do not look inside the model: seal it as one piece", false},
    {"clear", 0, EMK_CLI_WORD, "WHAT",
     "structure: leave all but the weights readable (it cannot be changed unnoticed); small-int: "
     "small constants of integers as well, which runtimes need to load the structure",
     false},
    {"strict", 0, EMK_CLI_FLAG, NULL,
     "refuse a model of which less than 90 % are known to be weights, or that has weights earmark "
     "cannot tell apart",
     false},
    {"no-digests", 0, EMK_CLI_FLAG, NULL,
     "leave out the digests that let the device prove what it got", false},
    {"format", 0, EMK_CLI_WORD, "NAME", "the model's format, where it cannot be seen; one file",
     false},
    EMK_CLI_OPTION_ISSUER_DIR,
    EMK_CLI_OPTION_PASSPHRASE_FILE,
    EMK_CLI_OPTION_PASSPHRASE_FD,
    {0},
};

static const emk_cli_example examples[] = {
    {"Seal it:", "earmark seal cat-ears.tflite --ticket cat.ticket -o cat.emk"},
    {"A model of many files:", "earmark seal saved_model --ticket cat.ticket -o cat.emk"},
    {"See first what is in it:", "earmark inspect --model cat-ears.tflite"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_FORMAT, "the ticket is none, or the model file is not well-formed"},
    {EMK_E_SIGNATURE, "the ticket is not from this issuer"},
    {EMK_E_POLICY, "the ticket, or the sealing key, has expired"},
    {EMK_E_USED, "a model was sealed for this ticket already"},
    {EMK_E_UNSUPPORTED, "weights in files not named, a link, or --strict refuses"},
    {EMK_E_NOT_FOUND, "a file is not there, or a folder lacks one that its model needs"},
    {EMK_E_IO, "the model changed while it was sealed, or the system refused"},
    {0},
};

const emk_cli_command EMK_CLI_SEAL = {
    .name = "seal",
    .summary = "seals a model for one user on one device",
    .synopsis = "MODEL... --ticket TICKET -o FILE",
    .paragraphs = paragraphs,
    .operands = operands,
    .many_operands = true,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
