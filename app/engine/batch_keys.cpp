#include "app/engine/batch_keys.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>

#include "core/text.h"

namespace linea {
namespace {

[[noreturn]] void refuse(const std::string& where, const std::string& key, const std::string& what) {
  throw Error(ErrorKind::kBadFile, where + ": " + printable(key, 60) + ": " + what);
}

std::string shown(const Json& value) { return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60); }

// A value with the place it came from, asked for by type.
class Reader {
 public:
  Reader(const BatchValue& value, const std::string& where) : v_(value), where_(where) {}

  [[noreturn]] void fail(const std::string& expected) const {
    refuse(where_, v_.key, "expected " + expected + ", found " + shown(v_.value));
  }

  std::string text() const {
    if (!v_.value.is_string()) fail("a text");
    std::string text = v_.value.get<std::string>();
    if (text.find('\0') != std::string::npos) fail("a text without NUL bytes");
    return text;
  }
  template <class Number> Number number(const std::string& expected, Number minimum, Number maximum) const {
    Number number{};
    bool good = false;
    if (v_.is_text) {
      const std::string text = v_.value.get<std::string>();
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      good = error == std::errc() && end == text.data() + text.size() && !text.empty();
    } else if constexpr (std::is_floating_point_v<Number>) {
      good = v_.value.is_number();
      if (good) number = v_.value.get<Number>();
    } else {
      good = v_.value.is_number_integer() && (v_.value.is_number_unsigned() || std::is_signed_v<Number>);
      if (good && v_.value.is_number_unsigned()) good = v_.value.get<uint64_t>() <= static_cast<uint64_t>(maximum);
      if (good) number = v_.value.get<Number>();
    }
    if (!good || !(number >= minimum && number <= maximum)) fail(expected);
    return number;
  }
  int integer(int minimum, int maximum) const {
    return number<int>("a whole number from " + std::to_string(minimum) + " to " + std::to_string(maximum), minimum, maximum);
  }
  bool boolean() const {
    if (v_.value.is_boolean()) return v_.value.get<bool>();
    const std::string text = v_.value.is_string() ? v_.value.get<std::string>() : "";
    for (const char* yes : {"true", "on", "yes", "1"}) {
      if (text == yes) return true;
    }
    for (const char* no : {"false", "off", "no", "0"}) {
      if (text == no) return false;
    }
    fail("true or false");
  }
  std::string one_of(const std::vector<std::string>& choices) const {
    const std::string value = text();
    std::string list;
    for (const std::string& choice : choices) {
      if (value == choice) return value;
      list += (list.empty() ? "" : ", ") + choice;
    }
    fail("one of " + list);
  }
  // [width, height], "512" or "1024x768".
  PictureSize size() const {
    const char* expected = "a size such as 512, \"1024x768\" or [1024, 768]";
    std::vector<int64_t> sides;
    if (v_.value.is_array()) {
      for (const Json& side : v_.value) {
        if (!side.is_number_integer() || sides.size() == 2) fail(expected);
        sides.push_back(side.get<int64_t>());
      }
    } else if (v_.value.is_number_integer()) {
      sides = {v_.value.get<int64_t>()};
    } else if (v_.value.is_string()) {
      const std::string text = v_.value.get<std::string>();
      const size_t cross = text.find_first_of("xX");
      for (const std::string& side : {text.substr(0, cross), cross == std::string::npos ? std::string() : text.substr(cross + 1)}) {
        if (cross == std::string::npos && side.empty()) break;
        int64_t pixels = 0;
        const auto [end, error] = std::from_chars(side.data(), side.data() + side.size(), pixels);
        if (error != std::errc() || end != side.data() + side.size()) fail(expected);
        sides.push_back(pixels);
      }
    }
    if (sides.size() == 1) sides.push_back(sides[0]);
    if (sides.size() != 2 || sides[0] < 1 || sides[1] < 1 || sides[0] > 16384 || sides[1] > 16384) fail(expected);
    return {sides[1], sides[0]};
  }

 private:
  const BatchValue& v_;
  const std::string& where_;
};

using Apply = std::function<void(BatchLine&, const Reader&)>;

PictureRequest& request(BatchLine& line) { return line.job.settings.request; }

void apply_seed(BatchLine& line, const Reader& r) {
  request(line).seed = r.number<uint64_t>("a whole number from 0 to 18446744073709551615", 0, ~uint64_t{0});
  line.has_seed = true;
}

void apply_name(BatchLine& line, const Reader& r) {
  line.job.name_pattern = r.text();
  line.has_name = true;
}

const std::map<std::string, Apply>& keys() {
  static const std::map<std::string, Apply> table = {
      {"id", [](BatchLine& l, const Reader& r) { l.job.id = r.text(); }},
      {"prompt", [](BatchLine& l, const Reader& r) { request(l).prompt = r.text(); }},
      {"negative", [](BatchLine& l, const Reader& r) { request(l).negative = r.text(); }},
      {"size", [](BatchLine& l, const Reader& r) { request(l).size = r.size(); }},
      {"width", [](BatchLine& l, const Reader& r) { request(l).size.width = r.integer(1, 16384); }},
      {"height", [](BatchLine& l, const Reader& r) { request(l).size.height = r.integer(1, 16384); }},
      {"bins",
       [](BatchLine& l, const Reader& r) {
         request(l).use_bins = r.one_of({"auto", "off"}) == "auto";
       }},
      {"steps", [](BatchLine& l, const Reader& r) { request(l).steps = r.integer(1, 1000); }},
      {"guidance", [](BatchLine& l, const Reader& r) { request(l).guidance = r.number<double>("a number from 0 to 100", 0, 100); }},
      {"seed", apply_seed},
      {"count", [](BatchLine& l, const Reader& r) { l.job.count = r.integer(1, 100000); }},
      {"scheduler",
       [](BatchLine& l, const Reader& r) {
         const std::string name = r.one_of({"auto", "dpm++", "euler"});
         request(l).scheduler = name == "auto" ? "" : name;
       }},
      {"shift", [](BatchLine& l, const Reader& r) { request(l).flow_shift = r.number<double>("a number from 0.01 to 100", 0.01, 100); }},
      {"noise",
       [](BatchLine& l, const Reader& r) {
         request(l).noise = r.one_of({"cpu", "cuda"}) == "cpu" ? NoiseSource::kTorchCpu : NoiseSource::kTorchCuda;
       }},
      {"joint_noise", [](BatchLine& l, const Reader& r) { request(l).joint_noise = r.boolean(); }},
      {"instruction", [](BatchLine& l, const Reader& r) { l.job.settings.instruction_file = r.text(); }},
      {"softcap", [](BatchLine& l, const Reader& r) { l.job.settings.softcap = r.boolean(); }},
      {"model", [](BatchLine& l, const Reader& r) { l.job.settings.model = r.text(); }},
      {"dtype",
       [](BatchLine& l, const Reader& r) {
         l.job.settings.dtype = r.one_of({"auto", "fp32", "bf16", "fp16", "fp8"});
       }},
      {"device", [](BatchLine& l, const Reader& r) { l.job.settings.device = r.text(); }},
      {"metadata", [](BatchLine& l, const Reader& r) { l.job.metadata = r.boolean(); }},
      {"out", apply_name},
      {"folder", [](BatchLine& l, const Reader& r) { l.folder = r.text(); }},
  };
  return table;
}

// Other programs' and other people's names of our keys.
const std::map<std::string, std::string>& synonyms() {
  static const std::map<std::string, std::string> table = {{"negative_prompt", "negative"}, {"cfg", "guidance"}, {"cfg_scale", "guidance"},
                                                           {"guidance_scale", "guidance"},  {"n_iter", "count"}, {"sampler", "scheduler"}};
  return table;
}

std::vector<std::string> split_like_a_shell(const std::string& text, const std::string& where) {
  std::vector<std::string> words;
  bool in_word = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ' || c == '\t') {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (c == '\\' && i + 1 < text.size()) {
      words.back() += text[++i];
    } else if (c == '\'' || c == '"') {
      size_t end = i + 1;
      for (; end < text.size() && text[end] != c; ++end) {
        if (c == '"' && text[end] == '\\' && end + 1 < text.size() && (text[end + 1] == '"' || text[end + 1] == '\\')) ++end;
        words.back() += text[end];
      }
      if (end >= text.size()) throw Error(ErrorKind::kBadFile, where + ": a quote in column " + std::to_string(i + 1) + " is not closed");
      i = end;
    } else {
      words.back() += c;
    }
  }
  return words;
}

std::string scheduler_of(const std::string& sampler, const std::string& where) {
  if (sampler.starts_with("DPM++ 2M") || sampler == "dpm++") return "dpm++";
  if (sampler == "Euler" || sampler == "euler") return "euler";
  refuse(where, "sampler_name", "'" + printable(sampler) + "' is not to be had here; there are DPM++ 2M and Euler");
}

}  // namespace

std::vector<std::string> batch_keys() {
  std::vector<std::string> names;
  for (const auto& [name, apply] : keys()) names.push_back(name);
  return names;
}

void apply_batch_key(BatchLine& line, const BatchValue& value, const std::string& where) {
  if (value.key.starts_with("x-")) return;
  const auto synonym = synonyms().find(value.key);
  const auto found = keys().find(synonym == synonyms().end() ? value.key : synonym->second);
  if (found == keys().end()) {
    std::string list;
    for (const auto& [name, apply] : keys()) list += (list.empty() ? "" : ", ") + name;
    throw Error(ErrorKind::kBadFile, where + ": unknown key '" + printable(value.key, 60) + "'",
                "there are " + list + "; keys of your own begin with x-");
  }
  found->second(line, Reader(value, where));
}

std::vector<BatchValue> parse_prompt_options(const std::string& text, const std::string& where) {
  const std::vector<std::string> words = split_like_a_shell(text, where);
  std::vector<BatchValue> values;
  int64_t count = 1;
  for (size_t i = 0; i < words.size();) {
    if (!words[i].starts_with("--")) throw Error(ErrorKind::kBadFile, where + ": '" + printable(words[i]) + "' is no option (--name)");
    const std::string name = words[i++].substr(2);
    if (i == words.size()) refuse(where, "--" + name, "has no value");
    std::string value = words[i++];
    if (name == "prompt" || name == "negative_prompt") {  // up to the next option
      for (; i < words.size() && !words[i].starts_with("--"); ++i) value += " " + words[i];
    }
    const auto add = [&](const std::string& key) { values.push_back({key, value, /*is_text=*/true}); };
    if (name == "seed" || name == "subseed") {
      if (value == "-1") continue;
      if (name == "subseed") refuse(where, "--subseed", "variations of a seed are not to be had here");
      add("seed");
    } else if (name == "n_iter" || name == "batch_size") {
      int64_t factor = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), factor);
      if (error != std::errc() || end != value.data() + value.size() || factor < 1 || factor > 100000) {
        refuse(where, "--" + name, "expected a whole number from 1 to 100000, found '" + printable(value) + "'");
      }
      count = std::min(count * factor, int64_t{1} << 30);  // far too many: refused below, whatever else is multiplied
    } else if (name == "sampler_name") {
      value = scheduler_of(value, where);
      add("scheduler");
    } else if (name == "sd_model") {
      add("model");
    } else if (name == "prompt_for_display" || name == "outpath_grids" || name == "do_not_save_grid") {
      continue;  // says nothing about the pictures
    } else if (name == "tiling" || name == "restore_faces" || name == "do_not_save_samples") {
      if (value != "false" && value != "False" && value != "0") refuse(where, "--" + name, "is not to be had here");
    } else if (name == "prompt" || name == "negative_prompt" || name == "steps" || name == "cfg_scale" || name == "width" ||
               name == "height") {
      add(name);
    } else if (name == "outpath_samples") {
      add("folder");
    } else {
      throw Error(ErrorKind::kBadFile, where + ": unknown option '--" + printable(name, 60) + "'",
                  "there are --prompt, --negative_prompt, --seed, --steps, --cfg_scale, --width, --height, --sampler_name, --n_iter, "
                  "--batch_size, --outpath_samples, --sd_model");
    }
  }
  if (count > 1) values.push_back({"count", std::to_string(count), true});
  return values;
}

}  // namespace linea
