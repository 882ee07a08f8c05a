// Reads {xml, rows} from standard input; answers what two engines make of each row, and what dmn-moddle says of the file.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { DmnModdle } from 'dmn-moddle'
import { evaluate, unaryTest } from 'feelin'

const dmnEval = createRequire(import.meta.url)('@hbtgmbh/dmn-eval-js')
const { xml, older, rows } = JSON.parse(readFileSync(0, 'utf8'))

// feelin tells what it doubts beside the value
const told = (answer) => (answer !== null && typeof answer === 'object' && 'value' in answer ? answer.value : answer)

const days = (value) => {
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value)) return told(evaluate(`date("${value}")`))
  if (value !== null && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, days(each)]))
  return value
}

const { rootElement, warnings } = await new DmnModdle().fromXML(xml)
const written = (await new DmnModdle().toXML(rootElement, { format: true })).xml
const decision = rootElement.drgElement.find((each) => each.decisionLogic)
const table = decision.decisionLogic

// A test of one value is asked of feelin once: parsing is what costs.
const known = new Map()
const once = (key, ask) => {
  if (!known.has(key)) known.set(key, ask())
  return known.get(key)
}

const answers = rows.map((row) => {
  const context = days(row)
  const seen = table.input.map((input) => told(evaluate(input.inputExpression.text, context)))
  const keys = seen.map((value) => `${typeof value} ${value}`)
  const holding = table.rule.filter((rule) =>
    rule.inputEntry.every((entry, place) => once(`${entry.text} ? ${keys[place]}`, () => told(unaryTest(entry.text, { '?': seen[place] }))) === true),
  )
  const results = holding.map((rule) => rule.outputEntry.map((entry) => once(entry.text, () => told(evaluate(entry.text, {})))))
  return { holding: holding.length, results }
})

let whole = null
if (older !== null) {
  const decisions = await dmnEval.decisionTable.parseDmnXml(older)
  whole = rows.map((row) => dmnEval.decisionTable.evaluateDecision(decision.id, decisions, row))
}

process.stdout.write(
  JSON.stringify({ policy: table.hitPolicy, outputs: table.output.map((each) => each.name), warnings: warnings.map(String), written, answers, whole }),
)
