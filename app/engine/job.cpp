#include "app/engine/job.h"

#include "core/whole_number.h"

namespace linea {
namespace {

constexpr const char* kJobSchema = "linea.picture_job/1";
constexpr int kMaxCount = 100000;

using OrderedJson = nlohmann::ordered_json;

std::string text_of(const OrderedJson& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

template <class Read> auto read_as(const std::string& text, const std::string& source, const char* what, const Read& read) {
  try {
    return read(parse_json(text, source, ErrorKind::kBadFile));
  } catch (const Json::exception& e) {
    throw Error(ErrorKind::kBadFile, source + ": not " + what + ": " + e.what());
  }
}

}  // namespace

const char* name_of(JobState state) {
  switch (state) {
    case JobState::kQueued: return "queued";
    case JobState::kRunning: return "running";
    case JobState::kDone: return "done";
    case JobState::kFailed: return "failed";
    default: return "cancelled";
  }
}

std::string to_json(const PictureJob& job) {
  OrderedJson json;
  json["schema"] = kJobSchema;
  json["settings"] = OrderedJson::parse(to_json(job.settings));
  json["count"] = job.count;
  json["folder"] = job.folder.string();
  json["name"] = job.name_pattern;
  if (!job.id.empty()) json["id"] = job.id;
  if (job.index != 0) json["index"] = job.index;
  if (job.overwrite) json["overwrite"] = true;
  if (!job.metadata) json["metadata"] = false;
  if (!job.skipped.empty()) json["skipped"] = job.skipped;
  if (!job.stream.empty()) json["stream"] = job.stream.string();
  json["origin"] = job.origin;
  return text_of(json);
}

PictureJob picture_job_from_json(const std::string& text, const std::string& source) {
  return read_as(text, source, "a job", [&](const Json& json) {
    if (json.at("schema") != kJobSchema) throw Error(ErrorKind::kBadFile, source + ": unknown job '" + json.at("schema").dump() + "'");
    PictureJob job;
    job.settings = settings_from_json(json.at("settings").dump(), source);
    job.count = whole_number<int>(json.at("count"), source + ": count");
    if (job.count < 1 || job.count > kMaxCount) throw Error(ErrorKind::kBadFile, source + ": a count of " + std::to_string(job.count));
    job.folder = json.at("folder").get<std::string>();
    job.name_pattern = json.at("name").get<std::string>();
    job.id = json.value("id", "");
    job.index = whole_number<int64_t>(json.value("index", Json(0)), source + ": index");
    job.overwrite = json.value("overwrite", false);
    job.metadata = json.value("metadata", true);
    for (const Json& picture : json.value("skipped", Json::array()))
      job.skipped.push_back(whole_number<int>(picture, source + ": skipped"));
    job.stream = json.value("stream", "");
    job.origin = json.at("origin").get<std::string>();
    return job;
  });
}

std::string to_json(const PictureResult& r) {
  OrderedJson json;
  json["index"] = r.index;
  json["seed"] = r.seed;
  json["path"] = r.path.string();
  json["width"] = r.width;
  json["height"] = r.height;
  json["bytes"] = r.bytes;
  json["sha256"] = r.sha256;
  json["seconds"] = r.seconds;
  json["library_id"] = r.library_id;
  if (!r.settings.empty()) json["settings"] = OrderedJson::parse(r.settings);
  return text_of(json);
}

PictureResult picture_result_from_json(const std::string& text, const std::string& source) {
  return read_as(text, source, "a result", [&](const Json& json) {
    PictureResult r;
    r.index = whole_number<int>(json.at("index"), source + ": index");
    r.seed = whole_number<uint64_t>(json.at("seed"), source + ": seed");
    r.path = json.at("path").get<std::string>();
    r.width = whole_number<int64_t>(json.at("width"), source + ": width");
    r.height = whole_number<int64_t>(json.at("height"), source + ": height");
    r.bytes = whole_number<int64_t>(json.at("bytes"), source + ": bytes");
    r.sha256 = json.at("sha256").get<std::string>();
    r.seconds = json.value("seconds", 0.0);
    r.library_id = whole_number<int64_t>(json.value("library_id", Json(0)), source + ": library_id");
    if (json.contains("settings")) r.settings = to_json(settings_from_json(json.at("settings").dump(), source));
    return r;
  });
}

}  // namespace linea
