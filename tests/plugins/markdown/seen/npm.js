// Reads contents, one JSON string a line, with npm's discord-markdown-parser; writes for each the
// characters with their styles.
const { parse } = require('discord-markdown-parser')

const STYLES = {
  strong: 'bold', em: 'italic', strikethrough: 'strike', underline: 'underline',
  spoiler: 'spoiler', heading: 'heading', blockQuote: 'quote', inlineCode: 'code',
}

function walk (node, styles, seen) {
  if (Array.isArray(node)) {
    node.forEach(inner => walk(inner, styles, seen))
  } else if (node.type === 'codeBlock') {
    write(node.content, [...styles.filter(style => style === 'quote'), 'pre'], seen)
  } else if (node.type === 'twemoji') {
    write(node.name, styles, seen)
  } else if (node.content) {
    const own = node.type === 'link' ? 'link ' + node.target : STYLES[node.type]
    const around = own ? [...styles, own] : styles
    if (typeof node.content === 'string') write(node.content, around, seen)
    else walk(node.content, around, seen)
  } else if (node.type !== 'br' && node.type !== 'newline') {
    seen.push(['<' + node.type + '>', styles])
  }
}

function write (text, styles, seen) {
  for (const sign of text) seen.push([sign, styles])
}

for (const line of require('fs').readFileSync(0, 'utf8').split('\n')) {
  if (!line) continue
  const seen = []
  walk(parse(JSON.parse(line), 'extended'), [], seen)
  console.log(JSON.stringify(seen))
}
