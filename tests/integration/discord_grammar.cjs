// Reads one JSON string a line, writes what discord-markdown-parser makes of it, one array a line.
const { parse } = require("discord-markdown-parser");
const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);
for (const line of lines) console.log(JSON.stringify(parse(JSON.parse(line), "extended")));
