/** The emoji that a name like :rotating_light: stands for: those that operators and bots write. */

const TABLE = `
+1 👍|-1 👎|thumbsup 👍|thumbsdown 👎|ok_hand 👌|wave 👋|raised_hands 🙌|clap 👏|pray 🙏|muscle 💪|point_right 👉
point_left 👈|point_up 👆|point_down 👇|eyes 👀|hand ✋|raised_hand ✋|handshake 🤝|v ✌️|crossed_fingers 🤞
smile 😄|slightly_smiling_face 🙂|grinning 😀|grin 😁|joy 😂|wink 😉|blush 😊|sunglasses 😎|thinking_face 🤔
neutral_face 😐|confused 😕|cry 😢|sob 😭|scream 😱|sleeping 😴|zzz 💤|sweat_smile 😅|robot_face 🤖|ghost 👻|skull 💀
heart ❤️|tada 🎉|sparkles ✨|star ⭐|fire 🔥|boom 💥|zap ⚡|rocket 🚀|ambulance 🚑|fire_engine 🚒|turtle 🐢|bug 🐛
white_check_mark ✅|heavy_check_mark ✔️|ballot_box_with_check ☑️|x ❌|negative_squared_cross_mark ❎|heavy_multiplication_x ✖️
warning ⚠️|rotating_light 🚨|no_entry ⛔|no_entry_sign 🚫|octagonal_sign 🛑|stop_sign 🛑|construction 🚧|exclamation ❗
heavy_exclamation_mark ❗|bangbang ‼️|question ❓|grey_question ❔|information_source ℹ️|bell 🔔|no_bell 🔕|mega 📣
loudspeaker 📢|speech_balloon 💬|red_circle 🔴|large_red_circle 🔴|large_orange_circle 🟠|large_yellow_circle 🟡
large_green_circle 🟢|large_blue_circle 🔵|large_purple_circle 🟣|white_circle ⚪|black_circle ⚫|red_square 🟥
large_red_square 🟥|large_orange_square 🟧|large_yellow_square 🟨|large_green_square 🟩|large_blue_square 🟦
white_large_square ⬜|black_large_square ⬛|small_red_triangle 🔺|small_red_triangle_down 🔻|large_blue_diamond 🔷
large_orange_diamond 🔶|small_blue_diamond 🔹|small_orange_diamond 🔸|arrow_up ⬆️|arrow_down ⬇️|arrow_left ⬅️
arrow_right ➡️|arrow_upper_right ↗️|arrow_lower_right ↘️|left_right_arrow ↔️|arrow_up_down ↕️|arrows_counterclockwise 🔄
arrows_clockwise 🔃|repeat 🔁|twisted_rightwards_arrows 🔀|leftwards_arrow_with_hook ↩️|arrow_right_hook ↪️|arrow_forward ▶️
arrow_backward ◀️|fast_forward ⏩|rewind ⏪|double_vertical_bar ⏸️|black_square_for_stop ⏹️|hourglass ⌛
hourglass_flowing_sand ⏳|stopwatch ⏱️|timer_clock ⏲️|alarm_clock ⏰|clock1 🕐|clock3 🕒|calendar 📆|date 📅|spiral_calendar_pad 🗓️
computer 💻|desktop_computer 🖥️|floppy_disk 💾|minidisc 💽|electric_plug 🔌|battery 🔋|satellite_antenna 📡|signal_strength 📶
globe_with_meridians 🌐|earth_africa 🌍|link 🔗|chains ⛓️|lock 🔒|unlock 🔓|key 🔑|shield 🛡️|gear ⚙️|wrench 🔧|hammer 🔨
hammer_and_wrench 🛠️|toolbox 🧰|package 📦|inbox_tray 📥|outbox_tray 📤|clipboard 📋|memo 📝|pencil 📝|pencil2 ✏️|book 📖
books 📚|bookmark 🔖|page_facing_up 📄|scroll 📜|label 🏷️|pushpin 📌|round_pushpin 📍|paperclip 📎|scissors ✂️
chart_with_upwards_trend 📈|chart_with_downwards_trend 📉|bar_chart 📊|mag 🔍|mag_right 🔎|bulb 💡|flashlight 🔦|crystal_ball 🔮
potable_water 🚰|droplet 💧|ocean 🌊|bathtub 🛁|broom 🧹|wastebasket 🗑️|crown 👑|bust_in_silhouette 👤|busts_in_silhouette 👥
house 🏠|office 🏢|traffic_light 🚦|vertical_traffic_light 🚦|checkered_flag 🏁|triangular_flag_on_post 🚩|sunny ☀️|cloud ☁️
thunder_cloud_and_rain ⛈️|snowflake ❄️|moon 🌙|crescent_moon 🌙|night_with_stars 🌃|coffee ☕|beer 🍺|cake 🍰|birthday 🎂
one 1️⃣|two 2️⃣|three 3️⃣|four 4️⃣|five 5️⃣|six 6️⃣|seven 7️⃣|eight 8️⃣|nine 9️⃣|zero 0️⃣|100 💯|new 🆕|ok 🆗|sos 🆘|up 🆙|recycle ♻️
`;

const EMOJI = new Map(
  TABLE.trim()
    .split(/[|\n]/)
    .map((entry) => entry.trim().split(" ")),
);

/** The character for `name` (without colons, a skin tone ignored), or null. */
export function emoji(name) {
  return EMOJI.get(name.split("::")[0]) ?? null;
}

/** The character of a Slack `unicode` field such as "1f6a8" or "26a0-fe0f", or null if it is not one. */
export function fromUnicode(codes) {
  if (!/^[0-9a-f]{1,6}(-[0-9a-f]{1,6})*$/i.test(codes ?? "")) return null;
  const points = codes.split("-").map((code) => Number.parseInt(code, 16));
  return points.every((point) => point <= 0x10ffff) ? String.fromCodePoint(...points) : null;
}
