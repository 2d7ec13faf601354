// The filters, tests and methods of Jinja and Python that chat templates use.
#include <algorithm>
#include <cctype>
#include <cmath>

#include "core/text.h"
#include "lm/template/jinja_syntax.h"
#include "tokenizers/unicode/utf8.h"

namespace linea::jinja {
namespace {

const std::string& text_of(const JinjaValue& value, const char* what) {
  if (!value.is_string()) throw std::string(what) + " needs a text, not " + printable(to_text(value), 40);
  return value.get_ref<const std::string&>();
}

std::string strip(const std::string& text, const JinjaValue& characters, bool left, bool right) {
  const std::string set = characters.is_string() ? characters.get<std::string>() : " \t\n\r\f\v";
  size_t begin = left ? text.find_first_not_of(set) : 0;
  if (begin == std::string::npos) return {};
  const size_t end = right ? text.find_last_not_of(set) : text.size() - 1;
  return end == std::string::npos || text.empty() ? std::string() : text.substr(begin, end + 1 - begin);
}

// ASCII only, as chat templates need it for role names.
std::string cased(std::string text, bool upper) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x80) c = static_cast<char>(upper ? std::toupper(c) : std::tolower(c));
  }
  return text;
}

std::string capitalized(const std::string& text) {
  return text.empty() ? text : cased(text.substr(0, 1), true) + cased(text.substr(1), false);
}

std::string titled(const std::string& text) {
  std::string result = cased(text, false);
  bool inside = false;
  for (char& c : result) {
    if (!inside && static_cast<unsigned char>(c) < 0x80) c = static_cast<char>(std::toupper(c));
    inside = std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80;
  }
  return result;
}

std::string replaced(const std::string& text, const std::string& from, const std::string& to) {
  if (from.empty()) throw std::string("replace needs something to replace");
  std::string result;
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string::npos; at = found + from.size()) {
    result.append(text, at, found - at).append(to);
    if (result.size() > kMaxText) throw std::string("replace makes more than 16 MiB of text");
  }
  return result.append(text, at);
}

JinjaValue split(const std::string& text, const JinjaValue& separator, int64_t most) {
  JinjaValue parts = JinjaValue::array();
  if (!separator.is_string()) {  // at white space, which may be of any length
    size_t at = 0;
    while ((at = text.find_first_not_of(" \t\n\r\f\v", at)) != std::string::npos) {
      const size_t end = std::min(text.find_first_of(" \t\n\r\f\v", at), text.size());
      parts.push_back(text.substr(at, end - at));
      at = end;
    }
    return parts;
  }
  const std::string by = separator.get<std::string>();
  if (by.empty()) throw std::string("split needs a separator that is not empty");
  size_t at = 0;
  for (size_t found; (most < 0 || static_cast<int64_t>(parts.size()) < most) && (found = text.find(by, at)) != std::string::npos;
       at = found + by.size()) {
    parts.push_back(text.substr(at, found - at));
  }
  parts.push_back(text.substr(at));
  return parts;
}

JinjaValue characters(const std::string& text) {
  JinjaValue list = JinjaValue::array();
  const std::string valid = valid_utf8(text);
  for (size_t at = 0; at < valid.size();) {
    const size_t length = utf8_length(valid[at]);
    list.push_back(valid.substr(at, length));
    at += length;
  }
  return list;
}

JinjaValue pairs(const JinjaValue& value) {
  if (!value.is_object()) throw std::string("items needs a dictionary");
  JinjaValue list = JinjaValue::array();
  for (const auto& [key, item] : value.items()) list.push_back(JinjaValue::array({key, item}));
  return list;
}

std::string joined(const JinjaValue& list, const std::string& separator) {
  std::string text;
  bool first = true;
  for (const JinjaValue& item : list) {
    if (!first) text += separator;
    first = false;
    text += to_text(item);
    if (text.size() > kMaxText) throw std::string("join makes more than 16 MiB of text");
  }
  return text;
}

JinjaValue attribute(const JinjaValue& item, const std::string& name) {
  if (!item.is_object()) return undefined();
  const auto found = item.find(name);
  return found == item.end() ? undefined() : *found;
}

// selectattr, rejectattr, select, reject: items whose attribute (or which themselves) pass a test.
JinjaValue selected(const JinjaValue& list, const Arguments& a, bool by_attribute, bool wanted) {
  if (by_attribute && a.values.empty()) throw std::string("a selection by attribute needs its name");
  JinjaValue result = JinjaValue::array();
  const size_t test_at = by_attribute ? 1 : 0;
  for (const JinjaValue& item : list) {
    const JinjaValue value = by_attribute ? attribute(item, to_text(a.values[0])) : item;
    Arguments rest;
    for (size_t i = test_at + 1; i < a.values.size(); ++i) rest.values.push_back(a.values[i]);
    const bool passes = a.values.size() > test_at ? call_test(to_text(a.values[test_at]), value, rest) : truth(value);
    if (passes == wanted) result.push_back(item);
  }
  return result;
}

JinjaValue mapped(const JinjaValue& list, const Arguments& a) {
  JinjaValue result = JinjaValue::array();
  for (const JinjaValue& item : list) {
    if (a.named.contains("attribute")) {
      const JinjaValue value = attribute(item, to_text(a.named.at("attribute")));
      result.push_back(is_undefined(value) && a.named.contains("default") ? a.named.at("default") : value);
    } else {
      if (a.values.empty()) throw std::string("map needs a filter or an attribute");
      Arguments rest;
      rest.values.assign(a.values.begin() + 1, a.values.end());
      result.push_back(call_filter(to_text(a.values[0]), item, rest));
    }
  }
  return result;
}

JinjaValue length(const JinjaValue& value) {
  if (value.is_string()) return characters(value.get<std::string>()).size();
  if (value.is_array() || value.is_object()) return value.size();
  throw "the length of " + printable(to_text(value), 40) + " is not known";
}

JinjaValue as_integer(const JinjaValue& value) {
  if (value.is_string()) return static_cast<int64_t>(std::strtoll(value.get<std::string>().c_str(), nullptr, 10));
  if (value.is_number_float()) return std::abs(value.get<double>()) < 9e18 ? static_cast<int64_t>(value.get<double>()) : 0;
  return value.is_number() ? value.get<int64_t>() : value.is_boolean() ? static_cast<int64_t>(value.get<bool>()) : 0;
}

// `shown`: for reading, where Python's str shows what is undefined and json.dumps refuses it.
void write_json(const JinjaValue& value, int indent, int level, bool shown, std::string& out) {
  const auto line = [&](int depth) {
    if (indent >= 0) out += "\n" + std::string(static_cast<size_t>(indent * depth), ' ');
  };
  if (is_undefined(value)) {
    if (!shown) throw std::string("tojson of something undefined");
    out += "Undefined";
    return;
  }
  if (!value.is_structured()) {
    out += value.dump(-1, ' ', false, JinjaValue::error_handler_t::replace);
    return;
  }
  out += value.is_array() ? '[' : '{';
  bool first = true;
  for (const auto& [key, item] : value.items()) {
    if (!first) out += indent >= 0 ? "," : ", ";
    first = false;
    line(level + 1);
    if (value.is_object()) out += JinjaValue(key).dump(-1, ' ', false, JinjaValue::error_handler_t::replace) + ": ";
    write_json(item, indent, level + 1, shown, out);
    if (!shown && out.size() > kMaxText) throw std::string("tojson makes more than 16 MiB of text");
  }
  if (!first) line(level);
  out += value.is_array() ? ']' : '}';
}

}  // namespace

JinjaValue undefined() { return JinjaValue(JinjaValue::value_t::discarded); }

const JinjaValue& Arguments::at(size_t index, const char* name, const JinjaValue& fallback) const {
  if (index < values.size()) return values[index];
  const auto found = named.find(name);
  return found == named.end() ? fallback : *found;
}

bool truth(const JinjaValue& value) {
  if (is_undefined(value) || value.is_null()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

std::string to_text(const JinjaValue& value) {
  if (is_undefined(value)) return {};
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  std::string out;
  write_json(value, -1, 0, true, out);
  return out;
}

std::string to_json(const JinjaValue& value, int indent) {
  std::string out;
  write_json(value, indent, 0, false, out);
  return out;
}

JinjaValue call_filter(const std::string& name, const JinjaValue& value, const Arguments& a) {
  const JinjaValue none;
  if (name == "trim") return strip(to_text(value), a.at(0, "chars", none), true, true);
  if (name == "upper") return cased(to_text(value), true);
  if (name == "lower") return cased(to_text(value), false);
  if (name == "capitalize") return capitalized(to_text(value));
  if (name == "title") return titled(to_text(value));
  if (name == "replace") return replaced(to_text(value), to_text(a.at(0, "old", none)), to_text(a.at(1, "new", none)));
  if (name == "length" || name == "count") return length(value);
  if (name == "string") return to_text(value);
  if (name == "safe" || name == "e" || name == "escape") return value;
  if (name == "int") return as_integer(value);
  if (name == "float") return value.is_string() ? std::strtod(value.get<std::string>().c_str(), nullptr) : value.get<double>();
  if (name == "abs")
    return value.is_number_float() ? JinjaValue(std::abs(value.get<double>())) : JinjaValue(std::abs(value.get<int64_t>()));
  if (name == "list")
    return value.is_string() ? characters(value.get<std::string>()) : value.is_object() ? call_method("keys", value, {}) : value;
  if (name == "items" || name == "dictsort") return pairs(value);
  if (name == "join")
    return joined(value.is_string() ? characters(value.get<std::string>()) : value, to_text(a.at(0, "d", JinjaValue(""))));
  if (name == "first" || name == "last") {
    const JinjaValue list = value.is_string() ? characters(value.get<std::string>()) : value;
    if (!list.is_array() || list.empty()) return undefined();
    return name == "first" ? list.front() : list.back();
  }
  if (name == "reverse") {
    JinjaValue list = value.is_string() ? characters(value.get<std::string>()) : value;
    std::reverse(list.begin(), list.end());
    return value.is_string() ? JinjaValue(joined(list, "")) : list;
  }
  if (name == "unique") {
    JinjaValue list = JinjaValue::array();
    for (const JinjaValue& item : value) {
      if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
    }
    return list;
  }
  if (name == "default" || name == "d") {
    const bool replace = is_undefined(value) || (truth(a.at(1, "boolean", none)) && !truth(value));
    return replace ? a.at(0, "default_value", JinjaValue("")) : value;
  }
  if (name == "tojson") {
    const JinjaValue& indent = a.at(0, "indent", none);
    return to_json(value, indent.is_number() ? std::clamp(static_cast<int>(indent.get<int64_t>()), 0, 16) : -1);
  }
  if (name == "selectattr" || name == "rejectattr") return selected(value, a, true, name == "selectattr");
  if (name == "select" || name == "reject") return selected(value, a, false, name == "select");
  if (name == "map") return mapped(value, a);
  if (name == "indent") {
    const JinjaValue four = 4;
    const JinjaValue& width = a.at(0, "width", four);
    const std::string blanks(width.is_number() ? static_cast<size_t>(std::clamp<int64_t>(width.get<int64_t>(), 0, 100)) : 4, ' ');
    const std::string text = replaced(to_text(value), "\n", "\n" + blanks);
    return truth(a.at(1, "first", none)) ? blanks + text : text;
  }
  throw "the filter '" + printable(name, 40) + "' is not supported";
}

JinjaValue call_method(const std::string& name, const JinjaValue& value, const Arguments& a) {
  const JinjaValue none;
  if (value.is_object()) {
    if (name == "get") {
      const JinjaValue found = attribute(value, to_text(a.at(0, "key", none)));
      return is_undefined(found) ? a.at(1, "default", none) : found;
    }
    if (name == "items") return pairs(value);
    JinjaValue list = JinjaValue::array();
    if (name == "keys" || name == "values") {
      for (const auto& [key, item] : value.items()) list.push_back(name == "keys" ? JinjaValue(key) : item);
      return list;
    }
  }
  if (value.is_string()) {
    const std::string& text = text_of(value, name.c_str());
    const JinjaValue& first = a.at(0, "chars", none);
    if (name == "strip") return strip(text, first, true, true);
    if (name == "lstrip") return strip(text, first, true, false);
    if (name == "rstrip") return strip(text, first, false, true);
    if (name == "upper" || name == "lower" || name == "title" || name == "capitalize") return call_filter(name, value, {});
    if (name == "split") return split(text, a.at(0, "sep", none), as_integer(a.at(1, "maxsplit", JinjaValue(-1))).get<int64_t>());
    if (name == "splitlines") return split(text, JinjaValue("\n"), -1);
    if (name == "replace") return replaced(text, text_of(first, "replace"), text_of(a.at(1, "new", none), "replace"));
    if (name == "join") return joined(first, text);
    if (name == "find") {
      const size_t at = text.find(text_of(first, "find"));
      return at == std::string::npos ? JinjaValue(-1) : JinjaValue(at);
    }
    if (name == "count") return split(text, first, -1).size() - 1;
    if (name == "startswith" || name == "endswith") {
      for (const JinjaValue& part : first.is_array() ? first : JinjaValue::array({first})) {
        if (name == "startswith" ? text.starts_with(text_of(part, "startswith")) : text.ends_with(text_of(part, "endswith"))) return true;
      }
      return false;
    }
  }
  throw "the method '." + printable(name, 40) + "()' is not supported";
}

bool call_test(const std::string& name, const JinjaValue& value, const Arguments& a) {
  const JinjaValue none;
  if (name == "defined") return !is_undefined(value);
  if (name == "undefined") return is_undefined(value);
  if (name == "none") return !is_undefined(value) && value.is_null();
  if (name == "string") return value.is_string();
  if (name == "boolean") return value.is_boolean();
  if (name == "integer") return value.is_number_integer();
  if (name == "float") return value.is_number_float();
  if (name == "number") return value.is_number();
  if (name == "mapping") return value.is_object();
  if (name == "sequence" || name == "iterable") return value.is_array() || value.is_string() || value.is_object();
  if (name == "true") return value.is_boolean() && value.get<bool>();
  if (name == "false") return value.is_boolean() && !value.get<bool>();
  if (name == "odd" || name == "even") return value.is_number_integer() && (value.get<int64_t>() % 2 != 0) == (name == "odd");
  if (name == "equalto" || name == "eq" || name == "==") return !is_undefined(value) && value == a.at(0, "other", none);
  if (name == "ne" || name == "!=") return value != a.at(0, "other", none);
  if (name == "in") {
    const JinjaValue& container = a.at(0, "seq", none);
    if (container.is_string()) return value.is_string() && container.get<std::string>().find(value.get<std::string>()) != std::string::npos;
    return std::find(container.begin(), container.end(), value) != container.end();
  }
  if (name == "divisibleby")
    return value.is_number_integer() && as_integer(a.at(0, "num", none)) != 0 &&
           value.get<int64_t>() % as_integer(a.at(0, "num", none)).get<int64_t>() == 0;
  throw "the test '" + printable(name, 40) + "' is not supported";
}

}  // namespace linea::jinja
